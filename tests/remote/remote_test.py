#!/usr/bin/env python3
"""Holds an index in a cluster against one on the disk: remote_test.py WENQU WRITE_EMBEDDER [EXAMPLE_ASK]

The cluster's part is played by Java Lucene (LuceneServer.java), over http and, with a certificate made here, over https.
Needs a JDK and Debian's liblucene8-java; exits with 77, which counts as skipped, where they are not there. Each check is
a function; a failing one is named, and the exit code is 1.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from urllib.parse import quote

WENQU = os.path.abspath(sys.argv[1])
WRITE_EMBEDDER = os.path.abspath(sys.argv[2])
EXAMPLE = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None
HERE = os.path.dirname(os.path.abspath(__file__))
TOWN = os.path.join(HERE, "../../examples/town")
USER, PASSWORD = "reader", "it is s3cret:%"


def jars():
    found = [sorted(glob.glob(f"/usr/share/java/lucene-{part}-8*.jar")) for part in ("core", "analyzers-common", "misc")]
    return [names[-1] for names in found] if all(found) else None


class Server:
    """Java Lucene on a port of its own, until the end of the with statement."""

    def __init__(self, work, *options):
        self.process = subprocess.Popen(
            ["java", "-Dsun.net.httpserver.nodelay=true", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", ":".join(jars() + [work + "/classes"]), "LuceneServer", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)

    def url(self, name, scheme="http", user=""):
        return f"{scheme}://{user}127.0.0.1:{self.port}/{name}"

    def be(self, **how):
        query = "&".join(f"{name}={value}" for name, value in how.items())
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}/_test?{query}", method="POST", data=b"")).read()


def run(*arguments, environment=None):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WENQU_")}
    return subprocess.run([WENQU, *arguments], capture_output=True, text=True, timeout=120, errors="replace", env={**kept, **(environment or {})})


def expect(result, code, *words):
    told = result.stdout + result.stderr
    assert result.returncode == code, f"exit code {result.returncode} instead of {code}: {told}"
    for word in words:
        assert word in told, f"'{word}' is not told: {told}"
    assert PASSWORD not in told and quote(PASSWORD) not in told, f"the password is told: {told}"
    return result


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def document(identity, text, **more):
    return json.dumps({"id": identity, "text": text, **more}, ensure_ascii=False) + "\n"


def search(index, *arguments):
    return json.loads(expect(run("search", "--index", index, "--json", *arguments), 0).stdout)


def index(where, state, *arguments):
    return expect(run("index", "--remote", where, "--state", state, *arguments), 0)


def ids(found):
    return [hit["file_id"] for hit in found]


def hits(found):
    return found["results"]


TOWN_FILES = sorted(glob.glob(TOWN + "/*.jsonl")) + [TOWN + "/files"]


def the_same_is_found_as_in_a_local_index(server, d):
    remote, local = server.url("town"), d + "/town"
    index(remote, d + "/state", *TOWN_FILES)
    expect(run("index", "--index", local, *TOWN_FILES), 0)
    with open(os.path.join(HERE, "../../examples/town-questions.jsonl"), encoding="utf-8") as file:
        questions = [json.loads(line)["question"] for line in file if line.strip()][:25]
    first = same = 0
    for question in questions:
        ours, theirs = hits(search(local, question, "--top", "5")), hits(search(remote, question, "--top", "5"))
        assert theirs or not ours, f"nothing is found remotely for {question}"
        if not ours:
            continue
        first += ids(ours)[0] == ids(theirs)[0]
        same += len(set(ids(ours)) & set(ids(theirs))) / max(len(ours), 1)
        by_id = {identity: hit for identity, hit in zip(ids(theirs), theirs)}
        for identity, hit in zip(ids(ours), ours):
            if identity in by_id:
                mine, other = hit["wenqu"], by_id[identity]["wenqu"]
                assert mine["snippet"] == other["snippet"] and mine["matches"] == other["matches"], f"another snippet for {question}: {mine} {other}"
                # The closer look tells what one of ten passages has alone, and the tenth is another one now and then.
                assert abs(mine["raw_score"] - other["raw_score"]) < 0.2 * mine["raw_score"], f"another score for {question}: {mine} {other}"
    print(f"  of {len(questions)} questions {first} have the same best hit, {same / len(questions):.3f} of the first five are the same")
    assert first >= 0.95 * len(questions) - 1 and same >= 0.9 * len(questions), (first, same)


def filters_are_those_of_a_local_index(server, d):
    lines = "".join(document(f"d{i}", f"The heron number {i} stands by the sluice.", source=["web", "chat", "video"][i % 3],
                             published_at=f"2024-0{1 + i % 9}-11", attributes={"colour": ["red", "blue"][i % 2]},
                             acl=[[], ["ann"], ["bob", "staff"]][i % 3]) for i in range(27))
    path = write(d + "/f.jsonl", lines)
    remote, local = server.url("filters"), d + "/filters"
    index(remote, d + "/state-f", path)
    expect(run("index", "--index", local, path), 0)
    for options in ([], ["--source", "web"], ["--source", "web", "--source", "chat"], ["--from", "2024-03-11"], ["--until", "2024-05"],
                    ["--from", "2024-03-12", "--until", "2024-05-11"], ["--attribute", "colour=red"], ["--attribute", "colour=red", "--attribute", "colour=blue"],
                    ["--attribute", "colour=green"], ["--as", "ann"], ["--as", "staff", "--as", "ann"], ["--public"],
                    ["--public", "--source", "video", "--from", "2024-02-01"]):
        ours = search(local, "heron sluice", "--top", "30", "--all-copies", *options)
        theirs = search(remote, "heron sluice", "--top", "30", "--all-copies", *options)
        assert sorted(ids(hits(ours))) == sorted(ids(hits(theirs))), f"{options}: {ids(hits(ours))} and {ids(hits(theirs))}"
    pages = [ids(hits(search(remote, "heron sluice", "--top", "10", "--offset", str(offset), "--all-copies"))) for offset in (0, 10, 20)]
    assert sorted(sum(pages, [])) == sorted(f"d{i}" for i in range(27)), pages
    expect(run("search", "--index", remote, "heron", "--from", "someday"), 2)


def documents_are_replaced_and_removed(server, d):
    remote, state, folder = server.url("life"), d + "/state-l", d + "/folder"
    os.makedirs(folder)
    long_text = "".join(f"Paragraph {i} speaks of the old lock and of its keeper, who lived there for {i} years.\n\n" for i in range(60))
    write(folder + "/a.txt", long_text)
    write(folder + "/b.txt", "The otter sleeps under the bridge.")
    index(remote, state, folder)
    found = search(remote, "lock keeper", "--top", "50", "--all-copies")
    assert len(hits(found)) > 5, found
    expect(index(remote, state, folder), 0, "2 files unchanged")
    write(folder + "/a.txt", "The lock is gone.")
    os.remove(folder + "/b.txt")
    expect(index(remote, state, folder), 0, "1 documents removed", "holds 1 documents, 1 passages")
    assert len(hits(search(remote, "lock keeper", "--top", "50"))) == 1
    assert not hits(search(remote, "otter"))
    # An index that was made anew knows nothing: the state of before does not count.
    urllib.request.urlopen(urllib.request.Request(server.url("life"), method="DELETE")).read()
    expect(index(remote, state, folder), 0, "1 documents added")
    path = write(d + "/one.jsonl", document("x1", "A lamp.") + document("x1", "A lantern."))
    index(remote, state, path)
    assert ids(hits(search(remote, "lantern"))) == ["x1"] and not hits(search(remote, "lamp"))
    index(remote, state, "--remove", "x1")
    assert not hits(search(remote, "lantern"))


def questions_are_answered_from_a_cluster(server, d):
    told = expect(run("ask", "--remote", server.url("town"), "图书馆周末几点闭馆？"), 0, "来源").stdout
    assert "六点" in told, told
    run_file, queries = d + "/run", write(d + "/q.tsv", "1\t图书馆几点关门\n2\t渡船几点开\n3\tzzzz\n")
    qrels = write(d + "/qrels", "1 0 oa-002 1\n2 0 nothing 1\n")
    expect(run("eval", "--index", server.url("town"), "--queries", queries, "--qrels", qrels, "--run", run_file), 0, "MRR@10")
    with open(run_file, encoding="utf-8") as file:
        assert file.readline().startswith("1 Q0 oa-002 1 ")
    expect(run("check", server.url("town")), 0, "the cluster answers")
    if EXAMPLE:   # through the C ABI
        events = subprocess.run([EXAMPLE, server.url("town"), "图书馆周末几点闭馆？"], capture_output=True, text=True, timeout=60)
        assert events.returncode == 0 and '"file_id":"oa-002"' in events.stdout, events.stdout + events.stderr
    served = subprocess.Popen([WENQU, "serve", "--remote", server.url("town"), "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "listening" in served.stdout.readline(), "serve does not listen"
    finally:
        served.terminate()
        served.communicate(timeout=30)


def an_overloaded_cluster_is_asked_again(server, d):
    path = write(d + "/many.jsonl", "".join(document(f"m{i}", f"The mill number {i} turns.") for i in range(40)))
    server.be(reject=17, unavailable=2)
    expect(index(server.url("many"), d + "/state-m", path), 0, "40 documents added", "holds 40 documents, 40 passages")
    server.be(unavailable=1000)
    result = run("search", "--index", server.url("many"), "mill")
    server.be(unavailable=0)
    expect(result, 4, "overloaded, or not ready")


def what_is_wrong_is_told(server, d):
    expect(run("search", "--index", server.url("absent"), "x"), 1, "no such index", "wenqu index --remote")
    expect(run("search", "--index", server.url("Bad"), "x"), 2, "small letters")
    expect(run("search", "--index", f"https://u:{quote(PASSWORD)}@127.0.0.1:{server.port}/town", "x"), 2, "***@", "WENQU_REMOTE_PASSWORD")
    expect(run("index", "--remote", server.url("town"), "--optimize"), 2, "--optimize")
    server.be(health="red")
    expect(run("search", "--index", server.url("town"), "x"), 1, "red")
    server.be(health="yellow")
    urllib.request.urlopen(urllib.request.Request(server.url("foreign"), method="PUT", headers={"Content-Type": "application/json"}, data=json.dumps(
        {"settings": {"index": {"analysis": {"analyzer": {}}, "similarity": {}}},
         "mappings": {"dynamic": False, "_source": {"excludes": []}, "properties": {}}}).encode())).read()
    expect(run("search", "--index", server.url("foreign"), "x"), 2, "not made by wenqu")
    expect(run("index", "--remote", server.url("foreign"), "--state", d + "/s", HERE), 2, "not made by wenqu")


def very_long_questions_are_asked(server, d):
    words = " ".join(f"word{i}" for i in range(3000))
    path = write(d + "/words.jsonl", document("w", words))
    index(server.url("words"), d + "/state-w", path)
    assert len(set(ids(hits(search(server.url("words"), words))))) == 1


def a_cluster_is_taught_as_a_local_index_is(server, d):
    remote, local, state = server.url("taught"), d + "/taught", d + "/state-t"
    documents = write(d + "/docs.jsonl", "".join(document(f"t{i}", text, title=title) for i, (title, text) in enumerate([
        ("北京大学", "北京大学在海淀区，校园里有一个湖。"), ("", "马铃薯要在春天种。"), ("", "土豆炖牛肉要两个小时。"), ("", "渠塘活水今天开放。"),
        ("", "新的 iPhone 15 Pro 到了。"), ("", "手机 iPhone 与 15 个 Pro 配件。"), ("", "图书馆周末开门。")])))
    words = write(d + "/words.txt", "渠塘活水\niPhone 15 Pro\n")
    synonyms = write(d + "/synonyms.txt", "土豆, 马铃薯\n")
    taught = ["--words", words, "--synonyms", synonyms, "--pinyin"]
    index(remote, state, *taught, documents)
    expect(run("index", "--index", local, *taught, documents), 0)
    for question in ("bei jing da xue", "bjdx", "土豆怎么种", "渠塘活水", "iPhone 15 Pro"):
        ours, theirs = hits(search(local, question)), hits(search(remote, question))
        assert ours and sorted(ids(ours)) == sorted(ids(theirs)) and ids(ours)[0] == ids(theirs)[0], f"{question}: {ids(ours)} and {ids(theirs)}"
        assert abs(ours[0]["wenqu"]["raw_score"] - theirs[0]["wenqu"]["raw_score"]) < 0.1 * ours[0]["wenqu"]["raw_score"], f"another score for {question}"
    # What decides about the terms of documents stays; synonyms may change.
    expect(run("index", "--remote", remote, "--state", state, "--words", write(d + "/other.txt", "图书馆周末\n"), documents), 1, "other words")
    index(remote, state, "--synonyms", write(d + "/fewer.txt", "番茄, 西红柿\n"), documents)
    assert ids(hits(search(remote, "土豆"))) == ["t2"]
    index(remote, state, "--synonyms", synonyms, documents)
    assert sorted(ids(hits(search(remote, "土豆")))) == ["t1", "t2"]


def vectors_are_searched_in_the_forms_of_both_products(work, d):
    model, local = d + "/embedder.gguf", d + "/local"
    subprocess.run([WRITE_EMBEDDER, model], check=True)
    letters = "abcdefghijklmnopqrst"
    path = write(d + "/v.jsonl", "".join(
        document(f"v{i:02}", " ".join(letters[(i * step + start) % len(letters)] for step, start in ((1, 0), (3, 7), (7, 2), (5, 11))) + " stone" * (i % 3),
                 source=["web", "chat"][i % 2]) for i in range(40)))
    expect(run("index", "--index", local, "--embed", model, path), 0)
    by_vectors = ["--embed", model, "--hybrid", "--dense-weight", "1", "--top", "20"]
    asked = (by_vectors + ["the stone bridge"], by_vectors + ["s t a g", "--source", "chat"])
    together = ["--embed", model, "--top", "10", "a b c d e"]
    wanted = [ids(hits(search(local, *options))) for options in asked]
    wanted_together = ids(hits(search(local, *together)))
    for product, version in (("elasticsearch", "8.13.0"), ("opensearch", "2.11.0")):
        with Server(work, "--product", product, "--version", version) as server:
            remote, state = server.url("vectors"), f"{d}/state-{product}"
            expect(run("index", "--remote", remote, "--state", state, "--embed", model, path), 0, "40 documents added")
            for options, ours in zip(asked, wanted):
                theirs = ids(hits(search(remote, *options)))
                assert len(ours) == 20 and ours == theirs, f"{product}, {options}: {ours} and {theirs}"
            theirs = ids(hits(search(remote, *together)))
            assert len(set(wanted_together) & set(theirs)) >= 8, f"{product}: {wanted_together} and {theirs}"
            # A document that is replaced is found by its new vector, and without the model by words.
            index(remote, state, "--embed", model, write(d + "/new.jsonl", document("v00", "the stone bridge")))
            assert ids(hits(search(remote, *asked[0])))[0] == "v00"
            assert "v00" in ids(hits(search(remote, "bridge")))
            expect(run("index", "--remote", remote, "--state", state, path), 1, "have vectors")


def tls_and_credentials_are_asked_for(work, d):
    keys = d + "/keys.p12"
    subprocess.run(["keytool", "-genkeypair", "-alias", "a", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1",
                    "-validity", "2", "-storetype", "PKCS12", "-keystore", keys, "-storepass", "changeit"], check=True, capture_output=True)
    with open(d + "/ca.pem", "w") as file:
        subprocess.run(["keytool", "-exportcert", "-rfc", "-alias", "a", "-keystore", keys, "-storepass", "changeit"], check=True, stdout=file,
                       stderr=subprocess.DEVNULL)
    path = write(d + "/t.jsonl", document("t", "The tower has a bell."))
    with Server(work, "--keystore", keys, "--password", "changeit", "--user", f"{USER}:{PASSWORD}", "--product", "opensearch", "--version", "3.0.0") as server:
        where = server.url("safe", "https", USER + "@")
        secret = {"WENQU_REMOTE_PASSWORD": PASSWORD}
        trusted = ["--ca", d + "/ca.pem"]
        expect(run("search", "--index", where, "bell", environment=secret), 1, "not trusted", "--ca")
        expect(run("search", "--index", where.replace("127.0.0.1", "localhost"), *trusted, "bell", environment=secret), 1, "not trusted")
        expect(run("search", "--index", where.replace("https", "http"), "bell", environment=secret), 1)
        expect(run("search", "--index", where, *trusted, "bell"), 2, "WENQU_REMOTE_PASSWORD")
        expect(run("search", "--index", where, *trusted, "bell", environment={"WENQU_REMOTE_PASSWORD": "wrong"}), 2, "401")
        expect(run("index", "--remote", where, "--state", d + "/s", *trusted, path, environment=secret), 0, "1 documents added")
        expect(run("search", "--index", where, *trusted, "bell", environment=secret), 0, "tower")
        credentials = write(d + "/credentials", f"{USER}:{PASSWORD}\n")
        expect(run("search", "--index", server.url("safe", "https"), "--credentials", credentials, "bell", environment={"WENQU_REMOTE_CA": d + "/ca.pem"}), 0, "tower")
    with Server(work, "--api-key", "a2V5", "--version", "8.13.0") as server:
        expect(run("index", "--remote", server.url("k"), "--state", d + "/s2", path, environment={"WENQU_REMOTE_API_KEY": "a2V5"}), 0, "1 documents added")
        expect(run("search", "--index", server.url("k"), "bell"), 2, "401")
    with Server(work, "--version", "6.8.0") as server:
        expect(run("search", "--index", server.url("k"), "bell"), 1, "6.8.0")


def main():
    if not jars() or not shutil.which("java") or not shutil.which("javac") or not shutil.which("keytool"):
        print("skipped: needs java, javac and keytool (default-jdk-headless) and liblucene8-java")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory(prefix="wenqu-remote-") as work:
        subprocess.run(["javac", "-nowarn", "-Xlint:none", "-cp", ":".join(jars()), "-d", work + "/classes", HERE + "/LuceneServer.java"], check=True,
                       stderr=subprocess.DEVNULL)

        def passes(check, where):
            try:
                check(where, tempfile.mkdtemp(dir=work))
                print(f"ok      {check.__name__}")
                return True
            except Exception as error:   # each check is to run, whatever the others do
                print(f"FAILED  {check.__name__}: {error}")
                return False

        with Server(work) as server:
            for check in (the_same_is_found_as_in_a_local_index, filters_are_those_of_a_local_index, documents_are_replaced_and_removed,
                          questions_are_answered_from_a_cluster, an_overloaded_cluster_is_asked_again, what_is_wrong_is_told,
                          very_long_questions_are_asked, a_cluster_is_taught_as_a_local_index_is):
                failed += not passes(check, server)
        for check in (vectors_are_searched_in_the_forms_of_both_products, tls_and_credentials_are_asked_for):
            failed += not passes(check, work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
