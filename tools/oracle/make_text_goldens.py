#!/usr/bin/env python3
"""Writes tests/golden/text: a corpus, the token ids of reference tokenizers for it, chat templates and what they give.

usage: make_text_goldens.py [--out tests/golden/text] [--tokenizers DIR] [--bundled DIR]

DIR holds <name>/tokenizer.json.xz and tokenizer_config.json.xz for each of the big tokenizers (qwen3, deepseek_v3);
they are not part of the repository, so only ids are stored. Deterministic.
"""
import argparse
import hashlib
import json
import lzma
import os
import random
import shutil
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import jinja_cases
import template_cases

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
LINES = 3000

# ------------------------------------------------------------------------------- the corpus

SENTENCES = {
    "en": ["The quick brown fox jumps over the lazy dog.", "It's what we've got, isn't it?", "They'll say I'm wrong; you'd agree.",
           "Don't panic: we're nearly there!", "A well-known state-of-the-art, up-to-date system.", "She said, \"Hello\" -- and left...",
           "Wait... what?! (Really?)", "e.g. this, i.e. that, etc.", "HTTP/1.1 404 Not Found", "naïve café résumé façade coöperate",
           "the rain in Spain stays mainly in the plain", "UPPER lower MiXeD cAsE camelCase PascalCase snake_case kebab-case"],
    "zh": ["你好，世界！今天天气很好。", "人工智能正在改变我们的生活方式。", "北京是中国的首都，上海是最大的城市。", "我有3个苹果和12个橘子，一共15个。",
           "這是繁體中文的句子，請檢查一下。", "「引号」与《书名号》——以及省略号……", "他说：“我不知道。”", "一二三四五六七八九十百千万亿〇"],
    "ja": ["こんにちは、世界。", "東京は日本の首都です。", "カタカナとひらがなと漢字が混ざった文章。", "ｶﾀｶﾅ半角ﾃｽﾄ", "お茶を2杯ください！", "えーと、それはちょっと…", "がぎぐげご　全角スペース"],
    "ko": ["안녕하세요, 세계!", "서울은 대한민국의 수도입니다.", "한국어 문장을 토큰으로 나눕니다.", "사과 3개와 배 12개가 있어요.", "ㅋㅋㅋㅋ ㅠㅠ"],
    "ar": ["مرحبا بالعالم!", "القاهرة هي عاصمة مصر.", "اللُّغَةُ العَرَبِيَّةُ جَمِيلَةٌ", "لدي ٣ تفاحات و١٢ برتقالة", "فارسی: سلام دنیا، چطوری؟"],
    "he": ["שלום עולם!", "ירושלים היא עיר הבירה.", "בְּרֵאשִׁית בָּרָא אֱלֹהִים", "יש לי 3 תפוחים"],
    "hi": ["नमस्ते दुनिया!", "दिल्ली भारत की राजधानी है।", "मेरे पास ३ सेब और १२ संतरे हैं।", "क़ख़ग़ज़ड़ढ़फ़", "संस्कृतम् भाषा"],
    "th": ["สวัสดีชาวโลก", "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย", "ฉันมีแอปเปิ้ล ๓ ลูก", "ภาษาไทยไม่มีช่องว่างระหว่างคำ"],
    "ru": ["Привет, мир!", "Москва — столица России.", "Съешь же ещё этих мягких французских булок, да выпей чаю.", "Ёлка и йод; объём 12 м³"],
    "el": ["Γειά σου Κόσμε!", "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας.", "ΑΒΓΔ αβγδ ἀρχή ἦν ὁ λόγος", "Ωμέγα"],
    "vi": ["Xin chào thế giới!", "Hà Nội là thủ đô của Việt Nam.", "Tiếng Việt có rất nhiều dấu thanh.", "Một hai ba bốn năm sáu bảy"],
    "more": ["বাংলা ভাষা সুন্দর।", "தமிழ் மொழி", "తెలుగు భాష", "ქართული ენა", "Հայերեն լեզու", "አማርኛ ቋንቋ", "မြန်မာဘာသာ", "ភាសាខ្មែរ", "བོད་སྐད།",
             "සිංහල", "ລາວ", "Türkçe İstanbul ıI iİ", "Český žluťoučký kůň", "Polskie łąki źdźbło", "Straße ẞ ß GROSSE", "ᏣᎳᎩ", "ᚠᚢᚦᚨᚱᚲ", "𐍈𐌰𐌹", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝕬𝖇𝖈"],
}

EMOJI = ["😀", "😂🤣", "👍🏽", "👩‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷🇩🇪🇯🇵", "🇺🇳", "❤️", "☃", "☃️", "1️⃣2️⃣", "🤷🏿‍♂️", "🧑🏻‍🚀", "🫠", "⚡️🔥", "✅", "👁️‍🗨️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"]

CODE = [
    "#include <stdio.h>\nint main(void)\n{\n\tprintf(\"%d\\n\", 42);\n\treturn 0;\n}\n",
    "def f(x, *args, **kwargs):\n    return [i**2 for i in range(x) if i % 2 == 0]\n\n\nclass A(B):\n    pass\n",
    "const f = async (x) => { await g(x?.y ?? 0); return `${x}: ${y}`; };\n",
    "fn main() -> Result<(), Box<dyn Error>> {\n    let v: Vec<u8> = vec![1, 2, 3];\n    println!(\"{v:?}\");\n    Ok(())\n}",
    "SELECT a.id, COUNT(*) AS n FROM t1 a LEFT JOIN t2 b ON a.id = b.id WHERE a.x <> 'it''s' GROUP BY 1;",
    "<div class=\"a b\" id='c'>&nbsp;<a href=\"https://example.org/?q=1&r=2#frag\">link</a></div>",
    "{\"key\": [1, 2.5e-3, true, null, \"\\u00e9\\n\"], \"nested\": {\"a\": {}}}",
    "for i in $(seq 1 10); do echo \"$i\" | grep -E '^[0-9]+$' > /dev/null 2>&1 || true; done",
    "\\begin{equation}\n  E = mc^2 \\quad \\forall x \\in \\mathbb{R}\n\\end{equation}",
    "x += 1; y -= 2; z *= 3; a <<= 4; b >>= 1; c != d && e || !f; g->h::i;",
    "# Title\n\n* item **bold** _it_\n  * nested\n\n```c\nint x;\n```\n\n| a | b |\n|---|---|\n",
    "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tfmt.Println(\"hi\")\n}\n",
    "key: value\nlist:\n  - one\n  - two: {a: 1}\n# comment\n",
    "@decorator\r\ndef crlf():\r\n    return 1\r\n",
]

CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'Re", "'rE", "'ve", "'VE", "'Ve", "'m", "'M", "'ll", "'LL", "'Ll", "'d", "'D", "’s", "'ſ", "'x", "'", "''s"]
NUMBERS = ["0", "7", "42", "123", "1234", "12345", "1234567890", "3.14159", "1,000,000", "1e-10", "-5", "+7", "0x1F", "1/2", "½", "²³", "Ⅷ", "٣٤٥", "४५६", "１２３",
           "〇", "①②", "𝟘𝟙", "100%", "$9.99", "2024-02-30T23:59:59Z", "192.168.0.1", "1_000", "00012"]
SPACES = [" ", "  ", "   ", "    ", "        ", "\t", "\t\t", " \t ", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r", " \n", "\n ", "  \n  ", "\t\n", "\u00a0", "\u2003", "\u3000",
          "\u200b", "\u2028", "\u2029", "\u0085", "\u000b", "\u000c", "\ufeff", "\u1680", "\u180e", "\u202f", "\u205f"]
CONTROL = [chr(i) for i in range(1, 9)] + ["\x0e", "\x1b[31m", "\x1c", "\x1f", "\x7f", "\x80", "\x9f", "\u200d", "\u200e", "\u202e", "\u2060", "\u00ad", "\ufe0f"]
STRANGE = ["\u0378", "\u2fe0", "\ufffe", "\uffff", "\ufffd", "\U0010ffff", "\U000e0001", "\ue000", "\uf8ff", "\U000f0000", "\U0001fffe", "\u0e00", "\U0002a6df",
           "\U00020000", "\U00030000", "\ufdd0"]
MARKS = ["e\u0301", "a\u0323\u0302", "a\u0302\u0323", "q\u0323\u0307", "q\u0307\u0323", "\u1100\u1161\u11a8", "\uac00\u11a8", "\u212b", "\u2126", "\ufb01", "\u0958",
         "\u0915\u093c", "\U0001d15e", "\u0344", "\u0374", "\u1e9b\u0323", "i\u0307", "o\u0302\u0301", "ơ\u0300", "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d", "\u0301", " \u0301",
         "\u0b47\u0b56", "\uf900", "\U0002f800", "\u2adc", "\u0f73", "\u1fef", "\u0340\u0341", "n\u0303", "\u05e9\u05bc\u05c1", "\u0041\u030a"]
PUNCTUATION = ["!", "?", "...", "--", "—", "–", "!!!", "???", "«»", "“”", "(", ")", "[]", "{}", "<>", "/", "\\", "//", "/*", "*/", "||", "&&", "==", "=>", "->", "::", ";;", "@", "#", "$", "€", "£", "¥",
               "^", "_", "__", "`", "```", "~", "|", "°", "§", "±", "×", "÷", "∑∏√∞", "←→", "▁", "Ġ", "Ċ", "。", "、", "・", "～", "￥", "「」", "·", "†", "¿", "¡"]
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<|vision_start|>", "<|image_pad|>", "<|fim_prefix|>",
            "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜▁pad▁｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>", "<|EOT|>",
            "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
            "<|im_start", "im_end|>", "<|im_end|", "<|IM_END|>", "< |im_end|>", "<<|im_end|>>", "<think", "<|", "|>", "<｜User", "<s>", "</s>", "<unk>", "[INST]"]


def case_mix(r, s):
    return "".join(r.choice((c.upper(), c.lower())) for c in s)


def fragment(r):
    """One piece of text of a random kind."""
    k = r.randrange(16)
    if k < 4:
        s = r.choice(SENTENCES[r.choice(list(SENTENCES))])
        if r.random() < 0.3:
            words = s.split(" ")
            i = r.randrange(len(words))
            s = " ".join(words[i:i + r.randrange(1, 5)])
        elif r.random() < 0.2 and len(s) > 4:
            i = r.randrange(len(s) - 2)
            s = s[i:i + r.randrange(1, len(s))]
        return unicodedata.normalize("NFD", s) if r.random() < 0.15 else s
    if k == 4:
        return r.choice(EMOJI)
    if k == 5:
        s = r.choice(CODE)
        lines = s.split("\n")
        i = r.randrange(len(lines))
        return "\n".join(lines[i:i + r.randrange(1, 3)])
    if k == 6:
        return r.choice(["I", "you", "we", "it", "DON", "x", "é", "日", "3", ""]) + r.choice(CONTRACTIONS) + r.choice(["", " ", "x", "!"])
    if k == 7:
        return r.choice(NUMBERS)
    if k in (8, 9):
        return "".join(r.choice(SPACES) for _ in range(r.randrange(1, 5)))
    if k == 10:
        return r.choice(CONTROL)
    if k == 11:
        return r.choice(STRANGE)
    if k == 12:
        return r.choice(MARKS)
    if k == 13:
        return r.choice(PUNCTUATION) * r.choice([1, 1, 2, 5])
    if k == 14:
        return r.choice(SPECIALS)
    return "".join(chr(r.choice([r.randrange(0x20, 0x7f), r.randrange(0xa0, 0x250), r.randrange(0x370, 0x530), r.randrange(0x4e00, 0x9fa6)]))
                   for _ in range(r.randrange(1, 6)))


def corpus():
    r = random.Random(4711)
    out = [""]
    for group in SENTENCES.values():
        out += group
    out += EMOJI + CODE + NUMBERS + SPACES + CONTROL + STRANGE + MARKS + PUNCTUATION + SPECIALS
    for c in CONTRACTIONS:
        out += [f"I{c} go", f"JOHN{c}", f" {c} ", f"é{c}x", f"{c}{c}"]
    for s in SPACES:
        out += [f"a{s}b", f"{s}a", f"a{s}", f"a{s}{s}b", f"1{s}2", f"a{s}!", f"a {s} b", f"你{s}好"]
    for s in SPECIALS:
        out += [f"a{s}b", f" {s} ", f"{s}{s}", f"\n{s}\n"]
    for c in STRANGE + MARKS + CONTROL:
        out += [f"a{c}b", f" {c}", f"1{c}1", f"{c}{c}"]
    for unit, n in [("a", 1000), ("ab", 600), (" ", 1000), ("\n", 300), ("9", 500), ("!", 400), ("你", 300), ("é", 300), ("e\u0301", 200), ("😀", 150), ("\t", 200), ("\r\n", 100),
                    ("<|im_end|>", 50), ("-", 500), ("=", 333), ("がぎ", 150), ("の", 200), ("\u0301", 100), ("ाँ", 100), ("aA1 ", 200), ("<", 200), ("한글", 120), ("_", 257)]:
        out.append(unit * n)
    for n in range(1, 24):
        out += ["9" * n, " " * n + "x", "x" + " " * n, "\n" * n + "x", "x" * n, "_" * n, "." * n + " y"]
    while len(out) < LINES:
        n = r.choice([1, 2, 2, 3, 3, 4, 5, 8])
        glue = r.choice(["", "", " ", " ", r.choice(SPACES)])
        s = glue.join(fragment(r) for _ in range(n))
        if r.random() < 0.08:
            s = case_mix(r, s)
        out.append(s[:400])
    for s in out:
        s.encode("utf-8")
    return out


# ------------------------------------------------------------------------------- tokenizers

def llama3_like(lines):
    """A small tokenizer of Llama 3's kind: its pre-tokenizer, ignore_merges, a template that adds the first token."""
    split = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
             r"|\s+(?!\S)|\s+")
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(split), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])
    tok.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    text = [s for s in lines if len(s) < 300] + [" ".join(g) for g in SENTENCES.values()] * 3
    tok.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=1400, min_frequency=2, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    # take the last merge away from every ninth whole word: ignore_merges alone finds it now
    spec = json.loads(tok.to_str())
    merges = spec["model"]["merges"]
    used = {p for m in merges for p in m}
    spec["model"]["merges"] = [m for i, m in enumerate(merges) if not (i % 9 == 4 and "".join(m) not in used)]
    print("llama3_like: merges", len(merges), "->", len(spec["model"]["merges"]))
    tok = Tokenizer.from_str(json.dumps(spec))
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in names])
    bos = "<|begin_of_text|>"
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(add_prefix_space=True, trim_offsets=False, use_regex=True),
        processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tok.token_to_id(bos))])])
    return tok


def write_ids(out, name, tok, lines, source):
    plain = [tok.encode(s, add_special_tokens=False).ids for s in lines]
    prefix = tok.encode("x").ids[:-len(tok.encode("x", add_special_tokens=False).ids)]
    for s, ids in zip(lines, plain):
        assert tok.encode(s).ids == prefix + ids
    with open(f"{out}/{name}.ids", "w") as f:
        for ids in plain:
            f.write(" ".join(map(str, ids)) + "\n")
    same = sum(tok.decode(ids, skip_special_tokens=False) == s for s, ids in zip(lines, plain))
    r = random.Random(99)
    size = tok.get_vocab_size()
    special = [i for i, t in tok.get_added_tokens_decoder().items()]
    with open(f"{out}/{name}.decode.jsonl", "w", encoding="utf-8") as f:
        for i in range(200):
            ids = [r.randrange(size) if r.random() < 0.9 else r.choice(special) for _ in range(r.randrange(1, 12))]
            if i % 4 == 0:                      # cut through characters
                s = r.choice(lines)[:60]
                ids = tok.encode(s, add_special_tokens=False).ids
                a = r.randrange(len(ids) + 1)
                ids = ids[a:a + r.randrange(1, 8)]
            f.write(json.dumps({"ids": ids, "text": tok.decode(ids, skip_special_tokens=False),
                                "no_special": tok.decode(ids, skip_special_tokens=True)}, ensure_ascii=False) + "\n")
    print(f"{name}: {sum(map(len, plain))} ids, {same} of {len(lines)} lines decode to themselves, prefix {prefix}")
    return {"name": name, "source": source, "sha256": hashlib.sha256(tok_bytes(source, tok)).hexdigest(), "vocab": size,
            "added_by_default": prefix}


def tok_bytes(source, tok):
    path = source
    if os.path.exists(path):
        return lzma.open(path).read() if path.endswith(".xz") else open(path, "rb").read()
    return tok.to_str().encode()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default=f"{ROOT}/tests/golden/text")
    p.add_argument("--tokenizers", required=True)
    p.add_argument("--bundled", default=f"{ROOT}/models/landfall-tiny-qwen3-fp8")
    args = p.parse_args()
    out = args.out
    os.makedirs(f"{out}/llama3_like", exist_ok=True)
    lines = corpus()
    with open(f"{out}/corpus.txt", "w", encoding="utf-8") as f:
        for s in lines:
            f.write(json.dumps(s, ensure_ascii=True) + "\n")

    rows = []
    llama3_like(lines).save(f"{out}/llama3_like/tokenizer.json", pretty=False)
    path = f"{out}/llama3_like/tokenizer.json"
    rows.append(write_ids(out, "llama3_like", Tokenizer.from_file(path), lines, path))
    path = f"{args.bundled}/tokenizer.json"
    if os.path.exists(path):
        rows.append(write_ids(out, "bundled", Tokenizer.from_file(path), lines, path))
    templates = {}
    for name in ("qwen3", "deepseek_v3"):
        path = f"{args.tokenizers}/{name}/tokenizer.json.xz"
        if not os.path.exists(path):
            print(name, "is not there: its ids stay as they are")
            continue
        rows.append(write_ids(out, name, Tokenizer.from_str(lzma.open(path, "rt", encoding="utf-8").read()), lines, path))
        templates[name] = json.load(lzma.open(f"{args.tokenizers}/{name}/tokenizer_config.json.xz", "rt", encoding="utf-8"))["chat_template"]
    for row in rows:
        row["source"] = {"llama3_like": "llama3_like/tokenizer.json", "bundled": "the bundled checkpoint"}.get(
            row["name"], f"{row['name']}/tokenizer.json.xz")
    with open(f"{out}/tokenizers.json", "w") as f:
        json.dump({"made_by": f"tokenizers {tokenizers.__version__}", "lines": len(lines), "tokenizers": rows}, f, indent=1)
        f.write("\n")

    with open(f"{args.bundled}/tokenizer_config.json", encoding="utf-8") as f:
        templates["bundled"] = json.load(f)["chat_template"]
    shutil.rmtree(f"{out}/templates", ignore_errors=True)
    os.makedirs(f"{out}/templates")
    n = template_cases.write(f"{out}/templates", templates)
    m = jinja_cases.write(f"{out}/language.json")
    print(f"{n} template cases, {m} language cases")


if __name__ == "__main__":
    main()
