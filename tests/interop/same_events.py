#!/usr/bin/env python3
"""The same question through three doors gives the same events: same_events.py WENQU EXAMPLE_ASK

The doors are `wenqu ask --json`, a C program over the ABI, and npm's ws over the websocket. Ids, times and
durations differ from answer to answer and are made equal before the events are compared. Then what clients do
wrong is tried, each time followed by a good question on the same server.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENTS = [
    {"id": "tea", "title": "老榆茶馆", "text": "老榆茶馆每天早上七点开门，老板姓顾，招牌是榆钱茶。下午四点收摊。", "source": "official_account"},
    {"id": "gu", "title": "顾三娘", "text": "顾三娘是老榆茶馆的老板，她的女儿顾小满在渡口跟周渡生学划船。", "source": "chat"},
    {"id": "zhou", "title": "周渡生", "text": "周渡生摇了二十六年船，今年六十七岁，现在教孩子划船。", "source": "video"},
    {"id": "ferry", "title": "Ferry", "text": "The last ferry leaves the East Landing at half past nine. A ticket costs 3 yuan.", "source": "web"},
    {"id": "library", "title": "Library", "text": "The library closes at six on weekends. It is closed on Mondays.", "source": "file"},
    {"id": "inn", "title": "Inn", "text": "The inn has nine rooms. Breakfast is served from seven to half past nine.", "source": "web"},
]
QUESTIONS = [("quick", "茶馆几点开门？"), ("deep", "茶馆老板的女儿跟谁学划船？"),
             ("quick", "When does the last ferry leave?"), ("deep", "When does the library close on weekends?"),
             ("quick", "Who won the football final?")]


def normal(line):
    line = re.sub(r'"(resp|fs|rs|msg)_[0-9a-f]{24}(_\d+)?"', r'"\1\2"', line)
    line = re.sub(r'"created_at":\d+', '"created_at":0', line)
    return re.sub(r'"(\w+_ms)":-?\d+', r'"\1":0', line)


def check_stream(lines):
    events = [json.loads(line) for line in lines]
    assert [event["sequence_number"] for event in events] == list(range(len(events))), "sequence numbers have gaps"
    finals = [event["type"] for event in events if event["type"] in ("response.completed", "response.incomplete", "response.failed")]
    assert finals == ["response.completed"] and events[-1]["type"] == finals[0], f"final events {finals}"
    for kind in ("reasoning_text", "output_text"):
        deltas = "".join(event["delta"] for event in events if event["type"] == f"response.{kind}.delta")
        done = "".join(event["text"] for event in events if event["type"] == f"response.{kind}.done")
        assert deltas == done, f"{kind}: the deltas are not the text"
        if kind == "output_text":
            for event in events:
                if event["type"] == "response.output_text.annotation.added":
                    note = event["annotation"]["wenqu"]
                    mark = done[note["start_index"]:note["end_index"]]
                    assert mark == f"[citation:{note['citation']}]", f"the annotation stands at '{mark}'"
    return events


class Server:
    def __init__(self, wenqu, index):
        self.process = subprocess.Popen([wenqu, "serve", "--index", index, "--listen", "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on ws://"), line
        self.url = line.split()[-1]
        self.port = int(re.search(r":(\d+)/", self.url).group(1))

    def ask(self, *messages):
        environment = dict(os.environ, NODE_PATH="/usr/share/nodejs")
        return subprocess.run(["node", HERE + "/ws_client.cjs", self.url, *messages], capture_output=True, text=True,
                              env=environment, timeout=60)

    def handshake(self, headers):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(("GET /v1/responses HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
            return connection.recv(4096).split(b"\r\n")[0].decode()

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=20)


def create(question, mode="quick"):
    return json.dumps({"type": "response.create", "input": question, "wenqu": {"mode": mode}}, ensure_ascii=False)


def main():
    wenqu, example = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    probe = shutil.which("node") and subprocess.run(["node", "-e", "require('ws')"], capture_output=True,
                                                    env=dict(os.environ, NODE_PATH="/usr/share/nodejs")).returncode == 0
    if not probe:
        print("skipped: node or its ws package (Debian: node-ws) is not installed")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        source, index = folder + "/town.jsonl", folder + "/index"
        with open(source, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(document, ensure_ascii=False) + "\n" for document in DOCUMENTS)
        subprocess.run([wenqu, "index", "--index", index, source], check=True, stdout=subprocess.DEVNULL)
        server = Server(wenqu, index)
        try:
            for mode, question in QUESTIONS:
                doors = {
                    "cli": subprocess.run([wenqu, "ask", "--index", index, "--mode", mode, "--json", question],
                                          capture_output=True, text=True, check=True).stdout.splitlines(),
                    "c": subprocess.run([example, index, question] + (["deep"] if mode == "deep" else []),
                                        capture_output=True, text=True, check=True).stdout.splitlines(),
                    "websocket": server.ask(create(question, mode)).stdout.splitlines(),
                }
                for name, lines in doors.items():
                    check_stream(lines)
                    for number, (a, b) in enumerate(zip(map(normal, doors["cli"]), map(normal, lines))):
                        assert a == b, f"{question}: event {number} of {name} differs:\n{a}\n{b}"
                    assert len(lines) == len(doors["cli"]), f"{question}: {name} has {len(lines)} events"
                print(f"{mode} '{question}': {len(doors['cli'])} events, the same through three doors")

            def still_answers(result, what):
                assert result.returncode == 0, f"{what}: {result.stderr}"
                lines = result.stdout.splitlines()
                assert json.loads(lines[0])["type"] == "error", f"{what}: {lines[0]}"
                check_stream(lines[1:])
                return json.loads(lines[0])

            good = create("When does the last ferry leave?")
            still_answers(server.ask("{broken", good), "broken JSON")
            assert still_answers(server.ask(create(""), good), "an empty question")["param"] == "input"
            assert still_answers(server.ask('{"type":"nope"}', good), "an unknown type")["param"] == "type"
            assert still_answers(server.ask(create("x" * 20000), good), "a long question")["code"] == "limit_exceeded"
            client = subprocess.run(["node", "-e", "const W=require('ws');const s=new W(process.argv[1]);"
                                     "s.on('open',()=>s.send('x'.repeat(1<<20)));s.on('close',c=>console.log(c));s.on('error',()=>{});", server.url],
                                    capture_output=True, text=True, timeout=20, env=dict(os.environ, NODE_PATH="/usr/share/nodejs"))
            assert client.stdout.strip() in ("1009", "1006"), f"a message of 1 MB: closed with {client.stdout}"
            host = f"127.0.0.1:{server.port}"
            assert " 403 " in server.handshake({"Host": host, "Origin": "https://evil.example"}), "a foreign origin"
            assert " 101 " in server.handshake({"Host": host, "Origin": "http://localhost:3000"}), "a loopback origin"
            assert " 101 " not in server.handshake({"Host": "evil.example"}), "a foreign host"
            check_stream(server.ask(good).stdout.splitlines())
        finally:
            code = server.stop()
        assert code == 0, f"the server ended with {code}"
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
