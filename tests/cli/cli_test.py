#!/usr/bin/env python3
"""What users do wrong with the program, and what it promises scripts: cli_test.py WENQU

Each check is a function; a failing one is named, and the exit code is 1.
"""
import fcntl
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

WENQU = os.path.abspath(sys.argv[1])


def run(*arguments, **options):
    return subprocess.run([WENQU, *arguments], capture_output=True, text=True, timeout=60, errors="replace", **options)


def write(path, text, mode="w"):
    with open(path, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
        file.write(text)
    return path


def document(identity, text, **more):
    return json.dumps({"id": identity, "text": text, **more}, ensure_ascii=False) + "\n"


def expect(result, code, *words):
    told = result.stdout + result.stderr
    assert result.returncode == code, f"exit code {result.returncode} instead of {code}: {told}"
    for word in words:
        assert word in told, f"'{word}' is not told: {told}"


def every_command_has_help(d):
    for command in ([], ["index"], ["check"], ["search"], ["ask"], ["serve"], ["inspect"], ["tokenize"], ["logits"], ["embed"], ["bench"]):
        expect(run(*command, "--help"), 0, "Usage")
    expect(run("--version"), 0, "wenqu 0.")
    expect(run("serch", "x"), 2, "serch: is no command", "--help")
    expect(run("index"), 2, "--index")


def the_page_about_the_command_line_has_every_option_and_no_other(d):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/cli.md"), encoding="utf-8") as file:
        sections = [section.partition("\n") for section in re.split("^### ", file.read(), flags=re.M)[1:]]

    def options(text):   # of the first cells; an option may follow the command whose it is
        cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
        return [pair for cell in cells for pair in re.findall(r"`(?:(\w+) )?(--?[\w-]+)`", cell)]
    shared = {heading.lower().replace(" ", "-"): {name for _, name in options(text)} for heading, _, text in sections if "`" not in heading}
    described = {}
    for heading, _, text in sections:
        for command in re.findall(r"`(?:wenqu )?([a-z]+)", heading):
            described[command] = {name for of, name in options(text) if of in ("", command)}
            for group in re.findall(r"\(#([\w-]+)\)", text):
                described[command] |= shared.get(group, set())
    told = {}
    for command in re.findall(r"^  ([a-z]+) ", run("--help").stdout.partition("Subcommands:")[2], flags=re.M):
        lists = re.findall(r"^ {2,4}(-\S+)", run(command, "--help").stdout, flags=re.M)
        told[command] = {name for names in lists for name in names.split(",")} - {"-h", "--help"}
    assert told and told.keys() == described.keys(), (told.keys(), described.keys())
    for command, names in told.items():
        assert names == described[command], f"{command}: not in docs/cli.md: {names - described[command]}; not in --help: {described[command] - names}"


def what_would_have_no_effect_is_refused(d):
    run("index", "--index", d + "/i", write(d + "/a.txt", "text"))
    model = tiny_model(d + "/a.gguf")
    expect(run("bench", model, "--gpu-layers", "3"), 2, "--gpu-layers requires --device")
    expect(run("inspect", model, "--cpu-experts", "1"), 2, "--cpu-experts requires --device")
    expect(run("inspect", model, "--memory", "5"), 2, "--memory requires --device")
    for options in (["--device", "cpu", "--gpu-layers", "3"], ["--cpu-experts", "1", "--device", "cpu"]):
        for command in (["bench", model], ["inspect", model], ["logits", "--model", model, "--tokens", "1", "--out", d + "/o"]):
            expect(run(*command, *options), 2, next(o for o in options if "s" in o), "is for GPUs: give --device cuda")
    for option in (["--device", "cuda"], ["--memory", "5"], ["--kv", "f32"], ["--repack"], ["--drafts", "2"]):
        expect(run("ask", "--index", d + "/i", *option, "x"), 2, option[0] + " requires --model")
        expect(run("serve", "--index", d + "/i", *option, "--listen", "nowhere"), 2, option[0] + " requires --model")
    expect(run("ask", "--index", d + "/i", "--threads", "1", "x"), 0)
    for name in ("gpu", "cuda:", "cuda:x", "cuda:0,", "CUDA"):
        expect(run("inspect", "--device", name, model), 2, f"'{name}'")
    expect(run("inspect", "--device", "cuda:0,1", model), 1, "cannot be run")   # as it has one matrix only
    for isa in ("foo", "avx"):
        expect(run("inspect", model, env={**os.environ, "WENQU_ISA": isa}), 2, "WENQU_ISA", "avx512")
    for isa in ("AVX2", "scalar", ""):
        expect(run("inspect", model, env={**os.environ, "WENQU_ISA": isa}), 1, "cannot be run")


def a_broken_line_is_named_and_the_rest_is_indexed(d):
    path = write(d + "/a.jsonl", document("1", "the first") + "{broken\n" + document("3", "the third") + '{"id":"4"}\n' + '{"id":5,"text":"x"}\n')
    expect(run("index", "--index", d + "/i", path), 3, "a.jsonl:2", "a.jsonl:4", "a.jsonl:5", "2 documents added")
    expect(run("search", "--index", d + "/i", "third"), 0, "third")


def a_date_that_cannot_be_read_is_told_and_its_document_kept(d):
    path = write(d + "/a.jsonl", document("1", "a heron", published_at=1767225600) + document("2", "a heron", published_at="last spring"))
    expect(run("index", "--index", d + "/i", path), 3, "a.jsonl:2", "last spring", "2 documents added")
    hits = json.loads(run("search", "--index", d + "/i", "--json", "--all-copies", "--from", "2026-01-01", "heron").stdout)["results"]
    assert [hit["file_id"] for hit in hits] == ["1"], hits


def invalid_utf8_is_replaced_and_reported(d):
    path = write(d + "/a.jsonl", b'{"id":"1","text":"before \xff\xfe after"}\n', "wb")
    result = run("index", "--index", d + "/i", path)
    expect(result, 3, "a.jsonl:1", "UTF-8", "1 documents added")
    expect(run("search", "--index", d + "/i", "after"), 0, "before \ufffd")
    text = write(d + "/b.txt", b"caf\xe9 by the channel", "wb")
    expect(run("index", "--index", d + "/i", text), 3, "b.txt", "1 documents added")


def unreadable_and_unknown_files_are_passed_over(d):
    good = write(d + "/good.txt", "a good file about herons")
    expect(run("index", "--index", d + "/i", d + "/absent", good), 3, d + "/absent", "1 documents added")
    expect(run("index", "--index", d + "/i", write(d + "/x.exe", "MZ")), 3, "x.exe", ".jsonl")
    os.mkfifo(d + "/pipe.txt")
    expect(run("index", "--index", d + "/i", d + "/pipe.txt"), 3, "pipe.txt")
    expect(run("index", "--index", d + "/i", "--source", "tv", good), 2, "official_account")
    expect(run("index", "--index", d + "/i"), 2, "PATH")


def folders_are_read_with_every_known_type(d):
    os.makedirs(d + "/f/deep")
    write(d + "/f/a.md", "# Heron\n\nThe heron stands by the sluice.")
    write(d + "/f/deep/b.html", "<html><head><title>Otter</title><script>var secret=1</script></head><body><p>The otter sleeps.</p></body></html>")
    write(d + "/f/c.txt", "The kingfisher dives.")
    write(d + "/f/d.jsonl", document("k", "The carp jumps.", title="Carp", source="video"))
    write(d + "/f/e.bin", "ignored")
    expect(run("index", "--index", d + "/i", d + "/f"), 0, "4 documents added")
    for word, title in (("heron", "Heron"), ("otter", "Otter"), ("kingfisher", "c"), ("carp", "Carp")):
        found = json.loads(run("search", "--index", d + "/i", "--json", word).stdout)
        assert found["total"] == 1 and found["results"][0]["attributes"]["title"] == title, (word, found)
    assert json.loads(run("search", "--index", d + "/i", "--json", "secret").stdout)["total"] == 0


def lines_may_be_a_conversation(d):
    run("index", "--index", d + "/i", write(d + "/d.jsonl", document("heron", "The heron stands by the sluice at dawn.") + document("otter", "The otter sleeps in the reeds.")))
    ask = ("ask", "--index", d + "/i", "--json")

    def queries_of(*args, lines):
        events = [json.loads(line) for line in run(*args, input=lines).stdout.splitlines()]
        return [event["item"]["queries"][0] for event in events if event["type"] == "response.output_item.done" and event["item"]["type"] == "file_search_call"]

    lines = "Where does the heron stand?\r\nAnd when?\r\n/new\r\nAnd when?\r\n/new /deep Where does the otter sleep?\r\n"
    told = queries_of(*ask, "--conversation", lines=lines)
    assert told[0] == "Where does the heron stand?" and told[1].startswith("And when? ") and "heron" in told[1], told
    assert told[2] == "And when?" and told[3] == "Where does the otter sleep?" and len(told) > 4, told   # deep: more than one search
    alone = queries_of(*ask, lines="Where does the heron stand?\nAnd when?\n/new is what?\n")
    assert alone == ["Where does the heron stand?", "And when?", "/new is what?"], alone
    expect(run("ask", "--index", d + "/i", "--conversation", "Where?"), 2, "--conversation")


def questions_that_are_none_are_refused(d):
    run("index", "--index", d + "/i", write(d + "/a.txt", "text"))
    expect(run("ask", "--index", d + "/i", ""), 2, "question")
    expect(run("ask", "--index", d + "/i", "   "), 2, "question")
    expect(run("ask", "--index", d + "/i", "x" * 100000), 2, "16384")
    expect(run("ask", "--index", d + "/i", input="x" * (1 << 20) + "\n"), 2, "16384")
    expect(run("ask", "--index", d + "/i", "--mode", "slow", "x"), 2, "mode")
    expect(run("ask", "--index", d + "/i", "--drafts", "8", "x"), 2, "--drafts")
    expect(run("ask", "--index", d + "/absent", "x"), 1, d + "/absent")
    expect(run("search", "--index", d + "/i"), 2, "QUERY")
    expect(run("search", "--index", d + "/i", "？！"), 0)


def damaged_models_are_one_clear_line(d):
    run("index", "--index", d + "/i", write(d + "/a.txt", "text"))
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)
    bad = {
        "empty": b"", "text": b"this is no model at all, but long enough for a header", "cut": header[:10],
        "tensors": b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 0), "keys": b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 62),
        "version": b"GGUF" + struct.pack("<IQQ", 9, 0, 0),
        "architecture": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 20) + b"general.architecture" + struct.pack("<IQ", 8, 5) + b"mamba",
    }
    for name, content in bad.items():
        path = write(f"{d}/{name}.gguf", content, "wb")
        for command in (["ask", "--index", d + "/i", "--model", path, "x"], ["tokenize", "--model", path],
                        ["logits", "--model", path, "--tokens", "1", "--out", d + "/o"], ["bench", "--model", path]):
            result = run(*command, stdin=subprocess.DEVNULL)
            assert result.returncode in (1, 2), (name, command, result)
            assert result.stderr.count("\n") == 1 and path in result.stderr, (name, command, result.stderr)
    expect(run("inspect", d + "/text.gguf"), 1, "GGUF")
    expect(run("ask", "--index", d + "/i", "--model", d + "/absent.gguf", "x"), 1, "absent.gguf")
    expect(run("logits", "--model", d + "/text.gguf", "--tokens", "1,,2", "--out", d + "/o"), 2, "--tokens")


def tiny_model(path, values=(0.5,) * 64, alignment=32):
    """A file of one matrix of 32 columns: no model to run, but one to quantize."""
    def text(t):
        return struct.pack("<Q", len(t)) + t.encode()
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("blk.0.ffn_up.weight") + struct.pack("<IQQIQ", 2, 32, len(values) // 32, 0, 0)
    return write(path, head + b"\0" * (-len(head) % alignment) + struct.pack(f"<{len(values)}f", *values), "wb")


def bench_takes_its_model_either_way_and_no_impossible_numbers(d):
    path = tiny_model(d + "/a.gguf")
    expect(run("bench", path), 1, path)
    expect(run("bench", "--model", path), 1, path)
    expect(run("bench"), 2, "MODEL")
    expect(run("bench", path, "--model", path), 2, "MODEL")
    for option, value in (("-b", "0"), ("-t", "-1"), ("-t", "100000"), ("--nice", "20"), ("--nice", "-1"), ("-r", "0"), ("-p", "many")):
        expect(run("bench", path, option, value), 2, value)


def models_are_quantized_and_never_over_themselves(d):
    path = tiny_model(d + "/a.gguf")
    expect(run("quantize", path, d + "/b.gguf", "--type", "Q8_0"), 0, "8.50 bits")
    assert "Q8_0" in run("inspect", "--tensors", d + "/b.gguf").stdout
    expect(run("quantize", d + "/b.gguf", d + "/c.gguf", "--type", "q4_0"), 0, "quantized already")
    expect(run("quantize", path, path, "--type", "Q8_0"), 2, "is the input")
    expect(run("quantize", path, d + "/e.gguf", "--type", "Q9"), 2, "Q4_K_M")
    expect(run("quantize", path, d + "/absent/e.gguf", "--type", "Q8_0"), 1, "absent")
    expect(run("quantize", d + "/absent.gguf", d + "/e.gguf", "--type", "Q8_0"), 1, "absent.gguf")
    broken = tiny_model(d + "/nan.gguf", (1.0,) * 40 + (float("nan"),) * 24)
    expect(run("quantize", broken, d + "/e.gguf", "--type", "Q8_0"), 2, "tensor 'blk.0.ffn_up.weight', row 1, column 8")
    assert sorted(os.listdir(d)) == ["a.gguf", "b.gguf", "c.gguf", "nan.gguf"], os.listdir(d)


def published_models_are_converted(d):
    """The smallest qwen2 there is: one layer, one head, a byte for each token."""
    hf = d + "/hf"
    os.mkdir(hf)
    config = {"model_type": "qwen2", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
              "intermediate_size": 64, "max_position_embeddings": 64, "vocab_size": 256, "rms_norm_eps": 1e-6, "rope_theta": 1e4,
              "tie_word_embeddings": True, "eos_token_id": 255}
    layer = "model.layers.0."
    shapes = {"model.embed_tokens.weight": [256, 32], "model.norm.weight": [32], layer + "input_layernorm.weight": [32],
              layer + "post_attention_layernorm.weight": [32], layer + "mlp.gate_proj.weight": [64, 32],
              layer + "mlp.up_proj.weight": [64, 32], layer + "mlp.down_proj.weight": [32, 64], layer + "extra.weight": [1]}
    for name in "qkvo":
        shapes[f"{layer}self_attn.{name}_proj.weight"] = [32, 32]
    for name in "qkv":
        shapes[f"{layer}self_attn.{name}_proj.bias"] = [32]
    header, data = {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = struct.pack(f"<{count}f", *(((i * 37 + len(name)) % 101 - 50) / 100 for i in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    write(hf + "/model.safetensors", struct.pack("<Q", len(text)) + text + data, "wb")
    write(hf + "/config.json", json.dumps(config))
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]   # bytes that stand for themselves
    others = [byte for byte in range(256) if byte not in own]
    characters = {byte: chr(byte if byte in own else 0x100 + others.index(byte)) for byte in range(256)}
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer = {"model": {"type": "BPE", "vocab": {c: byte for byte, c in characters.items()}, "merges": []}, "added_tokens": [],
                 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": pattern}},
                                                                         {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]}}
    write(hf + "/tokenizer.json", json.dumps(tokenizer))
    expect(run("convert", hf, d + "/m.gguf", "--type", "F32"), 3, "qwen2, 14 tensors", "extra.weight")
    assert run("tokenize", "--model", d + "/m.gguf", input="Hi, 问").stdout.split() == [str(b) for b in "Hi, 问".encode()]
    expect(run("logits", "--model", d + "/m.gguf", "--tokens", "72,105", "--out", d + "/o"), 0, "2 tokens x 256")
    expect(run("logits", "--model", d + "/m.gguf", "--tokens", "72,105", "--out", d + "/o1", "--together", "1"), 0, "2 tokens x 256")
    measured = run("bench", d + "/m.gguf", "-p", "4", "-n", "0", "-r", "1", "--json", env={**os.environ, "WENQU_ISA": "SCALAR"})
    assert json.loads(measured.stdout)[0]["isa"] == "scalar", measured
    with open(d + "/o", "rb") as whole, open(d + "/o1", "rb") as one_by_one:
        assert whole.read() == one_by_one.read(), "logits of tokens one by one are not those of a prompt"
    expect(run("logits", "--model", d + "/m.gguf", "--tokens", "72", "--out", d + "/nowhere/o"), 1, "nowhere")
    kept = open(d + "/o", "rb").read()
    expect(run("logits", "--model", d + "/m.gguf", "--tokens", "99999", "--out", d + "/o"), 2, "99999")
    piped = subprocess.run([WENQU, "logits", "--model", d + "/m.gguf", "--tokens", "72,105", "--out", "/dev/stdout"], capture_output=True, timeout=60)
    assert piped.returncode == 0 and piped.stdout == kept, piped.stderr
    with open(d + "/o2", "wb") as behind:   # goes on where standard output is, and renames nothing over /dev/stdout
        behind.write(b"head")
        behind.flush()
        subprocess.run([WENQU, "logits", "--model", d + "/m.gguf", "--tokens", "72,105", "--out", "/dev/stdout"], stdout=behind, check=True, timeout=60)
    assert open(d + "/o2", "rb").read() == b"head" + kept
    expect(run("logits", "--model", d + "/m.gguf", "--tokens", "72", "--out", "/dev/null"), 0, "1 tokens x 256")
    expect(run("logits", "--model", d + "/m.gguf", "--tokens", "72", "--out", "/dev/full"), 1, "/dev/full", "cannot write")
    os.link(d + "/m.gguf", d + "/same.gguf")
    for model in ("/m.gguf", "/same.gguf"):
        expect(run("logits", "--model", d + "/m.gguf", "--tokens", "72", "--out", d + model), 2, "is the model")
    content = bytearray(open(d + "/m.gguf", "rb").read())
    content[-4:] = struct.pack("<f", float("nan"))   # the last tensor is one that every token goes through
    write(d + "/nan.gguf", bytes(content), "wb")
    expect(run("logits", "--model", d + "/nan.gguf", "--tokens", "72,105", "--out", d + "/o"), 1, "of 512 logits", "behind token 1 ", "nan.gguf")
    assert open(d + "/o", "rb").read() == kept, "a file is lost to logits that failed"
    for together in ("0", "1"):
        assert run("logits", "--model", d + "/nan.gguf", "--tokens", "72,105", "--together", together, "--out", "/dev/stdout").stdout == "", together
    assert not [name for name in os.listdir(d) if ".part-" in name], os.listdir(d)
    folder = os.open(d, os.O_RDONLY)
    expect(run("tokenize", "--model", d + "/m.gguf", stdin=folder), 1, "standard input")
    os.close(folder)
    expect(run("quantize", d + "/m.gguf", d + "/q.gguf", "--type", "Q8_0"), 0)
    expect(run("logits", "--model", d + "/q.gguf", "--tokens", "72,105", "--out", d + "/o"), 0)
    expect(run("convert", hf, d + "/e.gguf", "--type", "Q9"), 2, "Q4_K_M")
    expect(run("convert", hf, d + "/e.gguf", "--type", "F16", "--pre-tokenizer", "words"), 2, "deepseek-v3")
    expect(run("convert", d + "/absent", d + "/e.gguf", "--type", "F16"), 1, "absent/config.json")
    write(hf + "/config.json", json.dumps({**config, "hidden_size": 48}))
    expect(run("convert", hf, d + "/e.gguf", "--type", "F16"), 1, "model.embed_tokens.weight", "[256, 48]")
    assert not os.path.exists(d + "/e.gguf")


def a_second_writer_is_told_at_once(d):
    run("index", "--index", d + "/i", write(d + "/a.txt", "text"))
    with open(d + "/i/lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        expect(run("index", "--index", d + "/i", d + "/a.txt"), 4)
        expect(run("search", "--index", d + "/i", "text"), 0)
    expect(run("index", "--index", d + "/i", d + "/a.txt"), 0)


def a_damaged_index_is_told_and_not_believed(d):
    run("index", "--index", d + "/i", write(d + "/a.txt", "some text about herons"))
    folder = d + "/i/lucene"
    name = max(os.listdir(folder), key=lambda n: os.path.getsize(os.path.join(folder, n)))
    flip_a_bit(os.path.join(folder, name))
    expect(run("search", "--index", d + "/i", "herons"), 1, name)


def flip_a_bit(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x40]))


def an_index_is_checked_and_repaired(d):
    expect(run("check", d + "/i"), 1, "no index here")
    expect(run("check"), 2, "DIR")
    run("index", "--index", d + "/i", write(d + "/a.jsonl", document("a", "the heron is grey")))
    expect(run("check", d + "/i"), 0, "newest: commit 1", "whole", "nothing to go back to")
    before = set(os.listdir(d + "/i/lucene"))
    run("index", "--index", d + "/i", write(d + "/b.jsonl", document("b", "the otter is brown")))
    expect(run("check", d + "/i"), 0, "commit 2", "2 documents")
    name = next(name for name in os.listdir(d + "/i/lucene") if name not in before and name.endswith(".cfs"))
    flip_a_bit(d + "/i/lucene/" + name)
    expect(run("check", d + "/i"), 1, name, "checksum", "--repair", "goes back to commit 1", "is lost")
    told = json.loads(run("check", "--json", d + "/i").stdout)
    assert told["newest"]["whole"] is False and told["newest"]["damage"][0]["where"].endswith(name), told
    assert told["previous"]["whole"] is True and told["previous"]["documents"] == 1 and not told["repaired"], told
    with open(d + "/i/lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        expect(run("check", "--repair", d + "/i"), 4)
    expect(run("check", "--repair", d + "/i"), 3, "commit 1 again", "is lost")
    expect(run("check", d + "/i"), 0, "commit 1")
    expect(run("search", "--index", d + "/i", "heron"), 0, "grey")
    expect(run("index", "--index", d + "/i", d + "/b.jsonl"), 0, "the index holds 2 documents")
    for name in os.listdir(d + "/i/lucene"):
        flip_a_bit(d + "/i/lucene/" + name)
    expect(run("check", d + "/i"), 1, "Nothing whole is left")
    expect(run("check", "--repair", d + "/i"), 1, "nothing was changed")


def an_index_is_told_of_copied_and_kept_beside_others(d):
    many = "".join(document(f"k{i}", f"the heron number {i} is grey") for i in range(20))
    expect(run("index", "--index", d + "/i", "--commit-every", "3", write(d + "/a.jsonl", many)), 0, "20 documents")
    expect(run("index", "--index", d + "/i", "--optimize"), 0, "the index holds 20 documents")
    told = json.loads(run("stats", "--json", "--terms", "3", d + "/i").stdout)
    assert told["documents"] == 20 and len(told["segments"]) == 1 and told["deleted"] == 0, told
    assert any(term["passages"] == 20 for field in told["fields"] for term in field.get("top", [])), told
    expect(run("stats", d + "/i"), 0, "20 documents", "segments: 1", "postings")
    expect(run("stats", d + "/absent"), 1, d + "/absent")
    expect(run("backup", d + "/i", d + "/copy"), 0, "20 documents")
    expect(run("backup", d + "/i", d + "/copy"), 2, "not empty")
    expect(run("check", d + "/copy"), 0, "20 documents")
    expect(run("migrate", d + "/i"), 0, "already")
    expect(run("migrate", d + "/absent"), 1, d + "/absent")
    expect(run("collections", "create", d + "/all", "birds"), 0)
    expect(run("collections", "create", d + "/all", "beasts"), 0)
    expect(run("collections", "create", d + "/all", "../out"), 2, "letters")
    expect(run("collections", "list", d + "/all"), 0, "beasts\nbirds")
    run("index", "--index", d + "/all/birds", write(d + "/b.jsonl", document("b", "a heron")))
    run("index", "--index", d + "/all/beasts", write(d + "/c.jsonl", document("c", "a heron and an otter")))
    both = json.loads(run("search", "--index", d + "/all/birds", "--index", d + "/all/beasts", "--json", "heron").stdout)
    assert both["total"] == 2, both
    assert "beasts" in json.dumps(both) and "birds" in json.dumps(both), both
    expect(run("collections", "drop", d + "/all", "birds"), 0)
    expect(run("collections", "drop", d + "/all", "birds"), 1, "no collection")


def a_folder_of_other_things_is_no_index(d):
    os.mkdir(d + "/f")
    write(d + "/f/letter.txt", "dear all")
    expect(run("index", "--index", d + "/f", d + "/f/letter.txt"), 2, "empty folder")
    assert os.listdir(d + "/f") == ["letter.txt"]


def kills_at_random_lose_no_committed_document(d):
    draw = random.Random(20261125)
    path = write(d + "/many.jsonl", "".join(document(f"k{i}", f"heron {i} " * 20) for i in range(3000)))
    safe, kills, patience = 0, 0, 1
    while kills < 8:
        process = subprocess.Popen([WENQU, "index", "--index", d + "/i", "--commit-every", "100", "--json", path],
                                   stdout=subprocess.PIPE, text=True)
        time.sleep(draw.uniform(0.01, 0.3) * patience)
        process.kill()
        told, _ = process.communicate()
        committed = [json.loads(line).get("committed", 0) for line in told.splitlines()]
        safe = max([safe, *committed])
        if safe == 0:   # a slow machine commits nothing in so short a time
            patience *= 2
            assert patience < 1000, "nothing was ever committed"
            continue
        kills += 1
        expect(run("check", d + "/i"), 0)
        found = json.loads(run("search", "--index", d + "/i", "--json", "--top", "1", "heron").stdout)["total"]
        assert found >= safe, (found, safe)


def committed_documents_are_told_and_survive_a_kill(d):
    path = write(d + "/a.jsonl", "".join(document(str(i), f"document number {i} about herons") for i in range(7)))
    lines = [json.loads(line) for line in run("index", "--index", d + "/i", "--commit-every", "2", "--json", path).stdout.splitlines()]
    assert [line["committed"] for line in lines if "committed" in line] == [2, 4, 6, 7], lines
    assert lines[-1]["done"] is True and lines[-1]["documents"] == 7, lines
    many = write(d + "/b.jsonl", "".join(document(f"k{i}", f"heron {i} " * 50) for i in range(20000)))
    process = subprocess.Popen([WENQU, "index", "--index", d + "/k", "--commit-every", "100", "--json", many], stdout=subprocess.PIPE, text=True)
    committed = 0
    for line in process.stdout:
        committed = json.loads(line).get("committed", committed)
        if committed >= 300:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    found = json.loads(run("search", "--index", d + "/k", "--json", "--top", "1", "heron").stdout)
    assert found["total"] >= committed, (found["total"], committed)
    expect(run("index", "--index", d + "/k", path), 0)


def documents_are_replaced_and_removed_by_id(d):
    run("index", "--index", d + "/i", write(d + "/a.jsonl", document("x", "the heron is grey") + document("y", "the otter is brown")))
    run("index", "--index", d + "/i", write(d + "/a.jsonl", document("x", "the heron is white")))
    texts = [hit["text"] for hit in json.loads(run("search", "--index", d + "/i", "--json", "heron").stdout)["results"]]
    assert texts == ["the heron is white"], texts
    expect(run("index", "--index", d + "/i", "--remove", "x"), 0, "1 documents removed")
    assert json.loads(run("search", "--index", d + "/i", "--json", "heron").stdout)["total"] == 0
    assert json.loads(run("search", "--index", d + "/i", "--json", "otter").stdout)["total"] == 1
    absent = run("index", "--index", d + "/i", "--remove", "x", "--remove", "z", "--remove", "z")
    expect(absent, 3, "2 passed over")
    assert [line.split(": ")[2] for line in absent.stderr.splitlines()] == ["x", "z"], absent.stderr
    mixed = run("index", "--index", d + "/i", "--json", "--remove", "y", "--remove", "z")
    expect(mixed, 3, '"where":"z"')
    assert json.loads(mixed.stdout.splitlines()[-1])["removed"] == 1, mixed.stdout


def an_index_is_taught_words_synonyms_and_pinyin(d):
    docs = write(d + "/a.jsonl", document("a", "渠塘活水很清") + document("b", "马铃薯怎样种") + document("c", "高等学府", title="北京大学"))
    words = write(d + "/words.txt", "# ours\n渠塘活水\t0.9\n")
    rules = write(d + "/synonyms.txt", "土豆, 马铃薯\n")
    expect(run("index", "--index", d + "/i", "--words", words, "--synonyms", rules, "--pinyin", docs), 0, "3 documents")
    expect(run("search", "--index", d + "/i", "土豆"), 0, "马铃薯")
    expect(run("search", "--index", d + "/i", "bjdx"), 0, "高等学府")
    told = json.loads(run("stats", "--json", d + "/i").stdout)
    assert (told["user_words"], told["synonym_rules"], told["pinyin"]) == (1, 1, True), told
    expect(run("index", "--index", d + "/i", "--words", words, docs), 0)
    write(words, "渠塘\n活水很清\n")
    expect(run("index", "--index", d + "/i", "--words", words, docs), 1, "wenqu migrate --words")
    expect(run("migrate", "--words", words, d + "/i"), 0, "3 documents were analysed again")
    expect(run("migrate", "--no-pinyin", d + "/i"), 0, "3 documents")
    assert "高等学府" not in run("search", "--index", d + "/i", "bjdx").stdout
    expect(run("index", "--index", d + "/i", "--synonyms", write(rules, "洋芋, 马铃薯\n")), 0)
    expect(run("search", "--index", d + "/i", "洋芋"), 0, "马铃薯")
    expect(run("index", "--index", d + "/i", "--synonyms", write(rules, "a, b\na =>\n")), 2, "synonyms.txt", "line 2")
    expect(run("index", "--index", d + "/i", "--words", write(words, "好\n")), 2, "words.txt", "line 1")
    expect(run("index", "--index", d + "/i", "--words", d + "/absent"), 1, "absent")
    expect(run("check", d + "/i"), 0)
    expect(run("backup", d + "/i", d + "/copy"), 0)
    expect(run("search", "--index", d + "/copy", "洋芋"), 0, "马铃薯")


def runs_are_written_for_trec_eval(d):
    run("index", "--index", d + "/i", write(d + "/a.jsonl", "".join(document(f"d{i}", f"heron number {i}") for i in range(5))))
    queries = write(d + "/q.tsv", "q1\theron\nq2\tnumber 3\n")
    expect(run("search", "--index", d + "/i", "--queries", queries, "--run", d + "/run", "--top", "3"), 0)
    with open(d + "/run", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    assert [len(row) for row in rows] == [6] * 6 and rows[3][2] == "d3" and rows[0][:2] == ["q1", "Q0"], rows
    assert [int(row[3]) for row in rows] == [1, 2, 3] * 2 and rows[0][5] == "wenqu", rows
    write(queries, "no tab here\n")
    expect(run("search", "--index", d + "/i", "--queries", queries, "--run", d + "/run"), 2, "q.tsv:1")


def searches_are_measured_against_judgements(d):
    docs = write(d + "/a.jsonl", "".join(document(f"d{i}", text) for i, text in enumerate(("heron and otter", "otter", "渡口的灯笼", "石桥"))))
    queries = write(d + "/q.tsv", "q1\theron\nq2\t燈籠在哪裡\nq3\tbadger\n")
    qrels = write(d + "/qrels", "q1 0 d0 1\nq2 0 d2 1\nq3 0 d3 1\n")
    result = run("eval", "--docs", docs, "--queries", queries, "--qrels", qrels, "--run", d + "/run", "--json", "--per-query")
    expect(result, 0)
    measured = json.loads(result.stdout)
    assert measured["questions"] == 3 and abs(measured["MRR@10"]["value"]["mean"] - 2 / 3) < 1e-5, measured
    assert measured["per_query"]["q3"] == [0] * 6 and measured["per_query"]["q2"] == [1] * 6, measured

    cut = write(d + "/cut.jsonl", '{"id": "a", "passages": ["The otter sleeps.", "The heron waits."]}\n')
    result = run("eval", "--passages", "--docs", cut, "--queries", queries, "--qrels", write(d + "/cut.qrels", "q1 0 a.1 1\n"), "--json")
    assert json.loads(result.stdout)["MRR@10"]["value"]["mean"] == 1, result.stdout

    worse = write(d + "/other", "q1 Q0 d1 1 2 x\nq1 Q0 d0 2 1 x\n")
    result = run("eval", "--judge", d + "/run", "--qrels", qrels, "--compare", worse, "--per-query")
    expect(result, 0, "MRR@10", "q1\tMRR@10 0.5000 -> 1.0000", "q2\tMRR@10 0.0000 -> 1.0000")

    parameters = json.loads(run("eval", "--print-ranking").stdout)
    parameters["word"]["weight"] = 0
    ranking = write(d + "/ranking.json", json.dumps(parameters))
    result = run("eval", "--docs", docs, "--queries", queries, "--qrels", qrels, "--ranking", ranking, "--json", "--per-query")
    assert json.loads(result.stdout)["per_query"]["q1"] == [0] * 6, result.stdout
    expect(run("eval", "--docs", docs, "--queries", queries, "--qrels", qrels, "--ranking", write(ranking, '{"wrod": 1}')), 2, "ranking.json", "wrod")
    expect(run("eval", "--docs", docs, "--queries", queries), 2, "--qrels")
    expect(run("eval", "--docs", docs, "--queries", write(d + "/empty", ""), "--qrels", qrels), 2, "empty", "ids")
    partly = run("eval", "--docs", docs, "--queries", write(d + "/one.tsv", "q1\theron\n"), "--qrels", qrels)
    expect(partly, 0, "MRR@10")
    assert "2 of 3 judged questions" in partly.stderr, partly.stderr
    expect(run("eval", "--docs", docs, "--queries", d + "/none", "--qrels", qrels), 1, "none")
    expect(run("eval", "--queries", queries, "--qrels", qrels), 2, "--docs")
    expect(run("eval", "--docs", docs, "--queries", queries, "--qrels", write(d + "/bad", "q1 d0 1\n")), 2, "bad:1")


def folders_are_followed(d):
    os.makedirs(d + "/f/deep")
    write(d + "/f/a.txt", "the heron waits")
    write(d + "/f/deep/b.txt", "the otter swims")
    expect(run("index", "--index", d + "/i", d + "/f"), 0, "2 documents added")
    expect(run("index", "--index", d + "/i", d + "/f"), 0, "0 documents added", "2 files unchanged")
    expect(run("index", "--index", d + "/i", "--full", d + "/f"), 0, "2 documents added")
    os.remove(d + "/f/deep/b.txt")
    write(d + "/f/a.txt", "the heron flies")
    expect(run("index", "--index", d + "/i", d + "/f"), 0, "1 documents added", "1 documents removed", "holds 1 documents")
    expect(run("index", "--index", d + "/i", d + "/f/a.txt"), 0, "1 documents added")
    expect(run("index", "--index", d + "/i", "--near-duplicates", "sell", d + "/f"), 2, "--near-duplicates")


def a_watch_follows_changes_until_it_is_stopped(d):
    os.makedirs(d + "/f")
    write(d + "/f/a.txt", "the heron waits")
    process = subprocess.Popen([WENQU, "index", "--index", d + "/i", "--watch", "--json", d + "/f"], stdout=subprocess.PIPE, text=True)
    assert "committed" in json.loads(process.stdout.readline())
    os.makedirs(d + "/f/new/deep")
    write(d + "/f/new/deep/b.txt", "the otter swims")
    for word, wanted in (("otter", 1), ("heron", 0)):
        deadline = time.time() + 60
        while json.loads(run("search", "--index", d + "/i", "--json", word).stdout)["total"] != wanted:
            assert time.time() < deadline, word
            time.sleep(0.1)
        if word == "otter":
            os.remove(d + "/f/a.txt")
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, process.returncode
    assert json.loads(told.splitlines()[-1])["removed"] == 1, told


def a_citation_tells_the_time_and_results_leave_copies_out(d):
    os.makedirs(d + "/f")
    write(d + "/f/a.srt", "1\n00:01:05,000 --> 00:01:09,000\nthe kingfisher dives for fish beside the old sluice\n")
    write(d + "/f/b.txt", "the kingfisher dives for fish beside the old sluice")
    expect(run("index", "--index", d + "/i", d + "/f"), 0, "2 documents added")
    results = json.loads(run("search", "--index", d + "/i", "--json", "--all-copies", "kingfisher").stdout)["results"]
    assert [r["wenqu"].get("locator") for r in results if r["file_id"].endswith("srt")] == [{"kind": "time", "number": 65000}], results
    assert len(results) == 2, results
    results = json.loads(run("search", "--index", d + "/i", "--json", "kingfisher").stdout)["results"]
    assert len(results) == 1 and len(results[0]["wenqu"]["copies"]) == 1, results
    expect(run("search", "--index", d + "/i", "--all-copies", "kingfisher"), 0, "1:05")


def a_port_in_use_is_told(d):
    run("index", "--index", d + "/i", write(d + "/a.txt", "text"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        expect(run("serve", "--index", d + "/i", "--listen", f"127.0.0.1:{port}"), 4, str(port))
    expect(run("serve", "--index", d + "/i", "--listen", "nowhere"), 2, "ADDRESS:PORT")
    expect(run("serve", "--index", d + "/i", "--listen", "0.0.0.0:0"), 2, "token")


def started_server(folder, *arguments, listen="127.0.0.1:0", **options):
    run("index", "--index", folder + "/i", write(folder + "/a.txt", "text"))
    server = subprocess.Popen([WENQU, "serve", "--index", folder + "/i", "--listen", listen, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    assert b"listening" in server.stdout.readline()
    return server


def a_server_outlives_the_reader_of_its_log(d):
    server = started_server(d)
    server.stderr.close()
    server.stdout.close()
    server.send_signal(signal.SIGTERM)   # which it logs
    assert server.wait(60) == 0, server.returncode


def a_server_stops_when_its_terminal_is_closed_unless_nohup_is_asked_for(d):
    server = started_server(d)
    server.send_signal(signal.SIGHUP)
    assert server.wait(60) == 0, server.returncode
    assert b"stopping" in server.stderr.read()
    server = started_server(d, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    server.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert server.poll() is None, server.returncode
    server.terminate()
    assert server.wait(60) == 0, server.returncode


def a_server_that_others_can_reach_warns_that_it_has_no_tls(d):
    token = write(d + "/token", "0123456789abcdef\n")
    server = started_server(d, "--token-file", token, "--max-running", "1", "--max-waiting", "0", listen="0.0.0.0:0")
    server.terminate()
    assert b"no TLS" in server.communicate(timeout=60)[1]
    assert server.returncode == 0


def matching_words_are_marked(d):
    run("index", "--index", d + "/i", write(d + "/a.txt", "清渠镇图书馆周末六点闭馆，herons are welcome."))
    expect(run("search", "--index", d + "/i", "图书馆几点闭馆"), 0, "**图书馆**")
    expect(run("search", "--index", d + "/i", "heron"), 0, "**herons**")


def searches_are_restricted_and_paged(d):
    write(d + "/a.jsonl", document("a", "a heron", published_at="2024-01-05", attributes={"town": "青石"})
          + document("b", "a heron", published_at="2024-03-05", attributes={"town": "白水"}, acl=["ann"])
          + document("c", "a heron") + document("d", "a heron", acl="ann"))
    told = run("index", "--index", d + "/i", d + "/a.jsonl")
    expect(told, 3, "acl")   # of d, which is passed over

    def found(*more):
        result = run("search", "--index", d + "/i", "--json", "--all-copies", "heron", *more)
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout)
        assert answer["total_is_exact"]
        return [hit["file_id"] for hit in answer["results"]]
    assert found() == ["a", "b", "c"], found()
    assert found("--from", "2024-01-05", "--until", "2024-02") == ["a"]
    assert found("--from", "2024-01-06") == ["b"]
    assert found("--attribute", "town=青石", "--attribute", "town=白水") == ["a", "b"]
    assert found("--public") == ["a", "c"]
    assert found("--as", "ann") == ["a", "b", "c"]
    assert found("--as", "bob") == ["a", "c"]
    assert found("--top", "1", "--offset", "1") == ["b"]
    expect(run("search", "--index", d + "/i", "--from", "monday", "heron"), 2, "--from", "monday")
    expect(run("search", "--index", d + "/i", "--attribute", "town", "heron"), 2, "--attribute")
    expect(run("ask", "--index", d + "/i", "--public", "Is there a heron?"), 0)
    expect(run("ask", "--index", d + "/i", "--until", "friday", "Is there a heron?"), 2, "--until")


def models_for_searches_are_held_to_what_they_are(d):
    path = write(d + "/a.txt", "清渠镇图书馆")
    expect(run("index", "--index", d + "/i", "--embed", d + "/none.gguf", path), 1, "none.gguf")
    expect(run("index", "--index", d + "/i", "--embed", write(d + "/bad.gguf", "GGUFGGUF"), path), 1, "bad.gguf")
    expect(run("index", "--index", d + "/i", path), 0)
    expect(run("search", "--index", d + "/i", "--hybrid", "图书馆"), 1, "embedding model")
    expect(run("search", "--index", d + "/i", "--fusion", "magic", "图书馆"), 2)
    expect(run("search", "--index", d + "/i", "--dense-weight", "2", "图书馆"), 2)
    expect(run("search", "--index", d + "/i", "--index", d + "/j", "--embed", d + "/bad.gguf", "图书馆"), 2, "words only")


def main():
    checks = [value for name, value in list(globals().items())
              if callable(value) and getattr(value, "__code__", None) and value.__code__.co_varnames[:1] == ("d",) and name != "document"]
    failed = 0
    for check in checks:
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(folder)
            except AssertionError as error:
                failed += 1
                print(f"FAILED {check.__name__}: {error}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return failed > 0 or not checks


if __name__ == "__main__":
    sys.exit(main())
