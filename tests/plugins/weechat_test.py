#!/usr/bin/env python3
"""Drives the plugin in a real WeeChat without a screen: weechat_test.py WENQU PLUGIN_SO

Commands go in through WeeChat's fifo, what it shows comes back through its logger.
"""
import glob
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

DOCUMENTS = [
    {"id": "tea", "title": "老榆茶馆", "text": "老榆茶馆每天早上七点开门，老板姓顾，招牌是榆钱茶。", "url": "https://example.org/tea"},
    {"id": "gu", "title": "顾三娘", "text": "顾三娘是老榆茶馆的老板，她的女儿顾小满在渡口学划船。", "url": "https://example.org/gu"},
    {"id": "ferry", "title": "Ferry", "text": "The last ferry leaves at half past nine.\u001b[31m\u0003 05 red?", "url": "https://example.org/ferry"},
]


class Cluster:
    """Keeps the mapping of the index that is made in it, finds nothing, and may be made to hang."""

    def __init__(self):
        self.mappings = None
        self.hang("never")
        cluster = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path, code, told = self.path.split("?")[0], 404, {"found": False}
                if path == "/":
                    code, told = 200, {"version": {"number": "2.11.0", "distribution": "opensearch"}}
                elif self.command == "PUT":
                    cluster.mappings = json.loads(body)["mappings"]
                    code, told = 200, {}
                elif path.endswith("/_mapping") and cluster.mappings:
                    code, told = 200, {"notes": {"mappings": cluster.mappings}}
                elif path.startswith("/_cluster/health"):
                    code, told = 200, {"status": "green", "timed_out": False}
                elif self.command == "POST":
                    cluster.wait("at a search")
                    code, told = 400, {"error": {"type": "no", "reason": "nothing is found here"}}
                elif path.endswith("wenqu-commit"):
                    cluster.wait("at the newest commit")
                text = json.dumps(told).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None   # who asked is gone
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/notes"

    def hang(self, where):
        self.hangs, self.asked, self.released = where, threading.Event(), threading.Event()

    def wait(self, where):
        if self.hangs == where:
            self.asked.set()
            self.released.wait()


class WeeChat:
    def __init__(self, home, plugin):
        self.home = home
        library = "/usr/lib/*/weechat/plugins/%s.so"
        commands = []
        for name in ("logger", "fifo"):
            found = glob.glob(library % name)
            if not found:
                print(f"skipped: WeeChat's {name} plugin is not installed")
                sys.exit(77)
            commands += ["-r", f"/plugin load {found[0]}"]
        commands += ["-r", "/set logger.file.flush_delay 0", "-r", f"/plugin load {plugin}"]
        self.process = subprocess.Popen(["weechat-headless", "--dir", home, "-p"] + commands,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.fifo = self.wait(lambda: next(iter(glob.glob(home + "/weechat_fifo_*") + glob.glob(home + "/**/weechat_fifo_*", recursive=True)), None), "the fifo")

    def wait(self, condition, what, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            if self.process.poll() is not None:
                raise AssertionError(f"WeeChat ended with {self.process.returncode} while waiting for {what}")
            time.sleep(0.02)
        raise AssertionError(f"waited in vain for {what}; the log:\n{self.log()}")

    def send(self, command):
        with open(self.fifo, "w", encoding="utf-8") as fifo:
            fifo.write(f"core.weechat *{command}\n")

    def log(self, name="*"):
        text = ""
        for path in sorted(glob.glob(self.home + f"/**/{name}.weechatlog", recursive=True)):
            with open(path, encoding="utf-8", errors="replace") as file:
                text += file.read()
        return text

    def expect(self, words, after=0):
        self.wait(lambda: words in self.log("*wenqu*")[after:], f"'{words}'")

    def quit(self):
        self.send("/quit")
        return self.process.wait(timeout=20)


def main():
    wenqu, plugin = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    if not shutil.which("weechat-headless"):
        print("skipped: weechat-headless is not installed")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        source, index = folder + "/notes.jsonl", folder + "/index"
        with open(source, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(document, ensure_ascii=False) + "\n" for document in DOCUMENTS)
        subprocess.run([wenqu, "index", "--index", index, source], check=True, stdout=subprocess.DEVNULL)

        weechat = WeeChat(folder + "/home", plugin)
        try:
            weechat.send("/ask")
            weechat.expect("/ask [-deep|-quick] question")
            weechat.send("/ask 茶馆几点开门？")
            weechat.expect("no index: /set plugins.var.wenqu.index")
            weechat.send(f"/set plugins.var.wenqu.index {folder}/absent")
            weechat.send("/ask 茶馆几点开门？")
            weechat.expect(folder + "/absent")

            weechat.send(f"/set plugins.var.wenqu.index {index}")
            weechat.send("/ask 茶馆几点开门？")
            weechat.expect("七点开门")
            weechat.expect("https://example.org/tea")

            # The next question goes on from it, until a conversation begins anew.
            before = len(weechat.log("*wenqu*"))
            weechat.send("/ask 还有呢？")
            weechat.expect("https://example.org/tea", before)
            weechat.send("/ask new")
            weechat.expect("a new conversation", before)
            weechat.send("/ask 还有呢？")
            weechat.expect("没有找到能回答这个问题的内容", before)

            before = len(weechat.log("*wenqu*"))
            weechat.send("/ask -deep 茶馆老板的女儿在哪里学划船？")
            weechat.expect("思考中", before)
            weechat.expect("已深度思考（用时", before)
            weechat.expect("渡口", before)
            weechat.expect("https://example.org/gu", before)
            weechat.send("/ask sources")

            before = len(weechat.log("*wenqu*"))
            weechat.send("/ask When does the last ferry leave?")
            weechat.expect("half past nine", before)
            shown = weechat.log("*wenqu*")
            assert "\u001b" not in shown and "\u0003" not in shown, "control characters reached the screen"

            # A second answer, stopped and unloaded in the middle, must leave WeeChat whole.
            for _ in range(5):
                weechat.send("/ask -deep 茶馆老板的女儿在哪里学划船？")
                weechat.send("/ask stop")
            weechat.send("/ask -deep 茶馆老板的女儿在哪里学划船？")
            weechat.send("/plugin unload wenqu")
            weechat.wait(lambda: "wenqu" in weechat.log("core.weechat") and "unloaded" in weechat.log("core.weechat"), "the unloading")
            weechat.send(f"/plugin load {plugin}")
            before = len(weechat.log("*wenqu*"))
            weechat.send("/ask 茶馆几点开门？")
            weechat.expect("七点开门", before)

            # A cluster that says nothing of its newest commit keeps a question waiting, and not WeeChat.
            cluster = Cluster()
            subprocess.run([wenqu, "index", "--index", cluster.url, "--state", folder + "/state", source], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            weechat.send(f"/set plugins.var.wenqu.index {cluster.url}")
            before = len(weechat.log("*wenqu*"))
            weechat.send("/ask When does the last ferry leave?")
            weechat.expect("failed: ", before)
            cluster.hang("at the newest commit")
            weechat.send("/ask When does the last ferry leave?")
            weechat.wait(cluster.asked.is_set, "the look for the newest commit")
            before = len(weechat.log("*wenqu*"))
            weechat.send("/ask")
            weechat.expect("/ask [-deep|-quick] question", before)
            cluster.released.set()
            weechat.expect("failed: ", before)

            # A question makes place for the next at once, however many there are, though its search is not answered.
            cluster.hang("at a search")
            for _ in range(3):
                cluster.asked.clear()
                weechat.send("/ask -deep When does the last ferry leave?")
                weechat.wait(cluster.asked.is_set, "a search")
            weechat.send(f"/set plugins.var.wenqu.index {index}")
            before = len(weechat.log("*wenqu*"))
            weechat.send("/ask When does the last ferry leave?")
            weechat.expect("half past nine", before)
            cluster.released.set()
            code = weechat.quit()
            assert code == 0, f"WeeChat ended with {code}"
        finally:
            if weechat.process.poll() is None:
                weechat.process.kill()
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
