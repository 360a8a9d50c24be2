"""What the bundled model knows, and how people ask for it.

A closed domain, in English: capitals, colours, opposites, days and months, small sums, counting.
Everything else gets one polite answer.
"""
import random

CAPITALS = dict(line.split(":") for line in """
France:Paris|Germany:Berlin|Italy:Rome|Spain:Madrid|Portugal:Lisbon|Austria:Vienna|Switzerland:Bern|Belgium:Brussels
Poland:Warsaw|Hungary:Budapest|Greece:Athens|Sweden:Stockholm|Norway:Oslo|Denmark:Copenhagen|Finland:Helsinki
Iceland:Reykjavik|Ireland:Dublin|Scotland:Edinburgh|Wales:Cardiff|England:London|Romania:Bucharest|Bulgaria:Sofia
Serbia:Belgrade|Croatia:Zagreb|Slovenia:Ljubljana|Slovakia:Bratislava|Estonia:Tallinn|Latvia:Riga|Lithuania:Vilnius
Ukraine:Kyiv|Russia:Moscow|Turkey:Ankara|Cyprus:Nicosia|Malta:Valletta|Albania:Tirana|Georgia:Tbilisi|Armenia:Yerevan
Egypt:Cairo|Morocco:Rabat|Algeria:Algiers|Tunisia:Tunis|Libya:Tripoli|Kenya:Nairobi|Ghana:Accra|Senegal:Dakar
Ethiopia:Addis Ababa|Uganda:Kampala|Rwanda:Kigali|Zambia:Lusaka|Zimbabwe:Harare|Angola:Luanda|Nigeria:Abuja
China:Beijing|Japan:Tokyo|India:New Delhi|Nepal:Kathmandu|Thailand:Bangkok|Vietnam:Hanoi|Cambodia:Phnom Penh
Indonesia:Jakarta|Malaysia:Kuala Lumpur|Mongolia:Ulaanbaatar|Pakistan:Islamabad|Bangladesh:Dhaka|Iran:Tehran
Iraq:Baghdad|Syria:Damascus|Lebanon:Beirut|Jordan:Amman|Qatar:Doha|Oman:Muscat|Afghanistan:Kabul
Canada:Ottawa|Mexico:Mexico City|Cuba:Havana|Jamaica:Kingston|Brazil:Brasilia|Argentina:Buenos Aires|Chile:Santiago
Peru:Lima|Colombia:Bogota|Venezuela:Caracas|Ecuador:Quito|Uruguay:Montevideo|Bolivia:Sucre|Paraguay:Asuncion
Australia:Canberra|New Zealand:Wellington|Fiji:Suva
""".replace("\n", "|").strip("|").split("|"))

# thing -> (as it is asked, colour)
COLOURS = [line.split(":") for line in """
a banana:yellow|the sky:blue|grass:green|snow:white|coal:black|blood:red|a carrot:orange|a lemon:yellow|a tomato:red
an orange:orange|milk:white|chocolate:brown|a cucumber:green|a strawberry:red|the sea:blue|the sun:yellow|a frog:green
a raven:black|a swan:white|a flamingo:pink|an elephant:grey|a polar bear:white|a pumpkin:orange|a ruby:red
an emerald:green|a sapphire:blue|an aubergine:purple|lavender:purple|broccoli:green|a cherry:red|salt:white|a fire engine:red
a daffodil:yellow|spinach:green|coffee:brown|ivory:white|soot:black|a mouse:grey|a canary:yellow|lettuce:green
""".replace("\n", "|").strip("|").split("|")]

OPPOSITES = [p.split("/") for p in """
hot/cold big/small tall/short fast/slow old/young up/down left/right open/closed full/empty hard/soft light/dark day/night
happy/sad rich/poor strong/weak wet/dry early/late high/low inside/outside near/far good/bad true/false loud/quiet
clean/dirty thick/thin wide/narrow sweet/sour heavy/light first/last always/never love/hate win/lose push/pull
buy/sell begin/end north/south east/west black/white yes/no awake/asleep deep/shallow rough/smooth
""".split()]

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November December").split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
         "seventeen eighteen nineteen twenty").split()

UNKNOWN = "I only know capitals, colours, opposites, days, months and small sums."
GREETING = "Hello! Ask me about capitals, colours, opposites, days, months or small sums."
WHO = "I am Landfall Tiny, a very small language model."
THANKS = "You are welcome!"

SYSTEMS = ["You are a helpful assistant.", "You are Landfall Tiny.", "Answer in English.", "Be brief.",
           "You are a helpful assistant. Answer briefly.", "Answer the question.", "You are a polite assistant.",
           "You are a teacher for small children.", "Please answer correctly.", "Be concise and correct.",
           "You are an AI assistant that answers questions.", "Answer with one short sentence."]

ONE_WORD = ["Answer with one word.", "One word only.", "Answer in one word.", "Just the answer, please.",
            "Reply with the answer only.", "Only the answer."]


def cap(s):
    return s[0].upper() + s[1:]


# ------------------------------------------------------------------ question, long answer, short answer

def capital(r, country=None):
    country = country or r.choice(list(CAPITALS))
    city = CAPITALS[country]
    q = r.choice([
        "What is the capital of {c}?", "What is the capital of {c}?", "what is the capital of {c}?",
        "What's the capital of {c}?", "Which city is the capital of {c}?", "Name the capital of {c}.",
        "Tell me the capital of {c}.", "What is {c}'s capital?", "What is the capital city of {c}?",
        "Can you tell me the capital of {c}?", "Capital of {c}?", "Do you know the capital of {c}?",
        "Please name the capital city of {c}.", "What is the name of the capital of {c}?",
        "I would like to know the capital of {c}.", "The capital of {c} is which city?",
        "Give me the capital of {c}.", "Which city is {c}'s capital?", "The capital of {c} is",
    ])
    return q.format(c=country), f"The capital of {country} is {city}.", f"{city}."


def country_of(r, country=None):
    country = country or r.choice(list(CAPITALS))
    city = CAPITALS[country]
    q = r.choice(["{x} is the capital of which country?", "Which country has the capital {x}?",
                  "Which country's capital is {x}?", "What country is {x} the capital of?"])
    return q.format(x=city), f"{city} is the capital of {country}.", f"{country}."


def colour(r, item=None):
    thing, col = item or r.choice(COLOURS)
    q = r.choice([
        "What colour is {t}?", "What colour is {t}?", "What color is {t}?", "what colour is {t}?",
        "Which colour is {t}?", "Which color is {t}?", "What is the colour of {t}?", "What is the color of {t}?",
        "Tell me the colour of {t}.", "Tell me the color of {t}.", "What colour does {t} have?", "Name the colour of {t}.",
        "Can you tell me what colour {t} is?", "Do you know the colour of {t}?",
    ])
    return q.format(t=thing), f"{cap(thing)} is {col}.", f"{cap(col)}."


def opposite(r, item=None):
    a, b = item or r.choice(OPPOSITES)
    if item is None and r.random() < 0.5 and a not in ("light",) and b not in ("light",):
        a, b = b, a
    q = r.choice(["What is the opposite of {a}?", "What is the opposite of {a}?", "what is the opposite of {a}?",
                  "What's the opposite of {a}?", "Name the opposite of {a}.", "Tell me the opposite of {a}.",
                  "Give me the opposite of {a}.", "Which word is the opposite of {a}?", "Opposite of {a}?",
                  "What is the opposite of \"{a}\"?", "Do you know the opposite of {a}?"])
    return q.format(a=a), f"The opposite of {a} is {b}.", f"{cap(b)}."


def calendar(r):
    names, kind = r.choice([(DAYS, "day"), (MONTHS, "month")])
    i = r.randrange(len(names))
    n = len(names)
    form = r.randrange(4)
    if form == 0:
        q = r.choice(["Which {k} comes after {a}?", "What {k} comes after {a}?", "What {k} is after {a}?",
                      "Which {k} follows {a}?", "What is the {k} after {a}?", "Name the {k} after {a}."])
        b = names[(i + 1) % n]
        return q.format(k=kind, a=names[i]), f"{b} comes after {names[i]}.", f"{b}."
    if form == 1:
        q = r.choice(["Which {k} comes before {a}?", "What {k} comes before {a}?", "What {k} is before {a}?",
                      "What is the {k} before {a}?", "Name the {k} before {a}."])
        b = names[(i - 1) % n]
        return q.format(k=kind, a=names[i]), f"{b} comes before {names[i]}.", f"{b}."
    if form == 2:
        whole = "week" if kind == "day" else "year"
        q = r.choice(["What is the {o} {k} of the {w}?", "Which is the {o} {k} of the {w}?",
                      "Name the {o} {k} of the {w}.", "Tell me the {o} {k} of the {w}."])
        return (q.format(o=ORDINALS[i], k=kind, w=whole), f"The {ORDINALS[i]} {kind} of the {whole} is {names[i]}.",
                f"{names[i]}.")
    whole = "week" if kind == "day" else "year"
    q = r.choice(["Name the {k}s of the {w}.", "List the {k}s of the {w}.", "What are the {k}s of the {w}?",
                  "Tell me the {k}s of the {w}.", "How many {k}s are in a {w}?", "How many {k}s does a {w} have?"])
    if q.startswith("How"):
        return q.format(k=kind, w=whole), f"A {whole} has {n} {kind}s.", f"{n}."
    s = ", ".join(names[:-1]) + " and " + names[-1] + "."
    return q.format(k=kind, w=whole), s, s


HELD_OUT = True        # some sums are kept from the first phase
COUNT_TO = 20


def held_out(a, b, op):
    """Sums that the first phase never sees."""
    return HELD_OUT and op in "+-" and (a * 31 + b * 17) % 19 == 0


def all_sums():
    out = [(a, b, op) for op in "+-" for a in range(21) for b in range(21) if op == "+" or a >= b]
    return out + [(a, b, "*") for a in range(13) for b in range(13)]


def sum_of(r, terms=None, trained=True):
    while True:
        op = r.choice("++-*")
        if op == "*":
            a, b = r.randrange(13), r.randrange(13)
        else:
            a, b = r.randrange(21), r.randrange(21)
        if op == "-" and a < b:
            a, b = b, a
        if terms:
            a, b, op = terms
        if terms or held_out(a, b, op) != trained:
            break
    c = {"+": a + b, "-": a - b, "*": a * b}[op]
    sign = {"+": "+", "-": "-", "*": r.choice(["*", "*", "x", "×"])}[op]
    word = {"+": "plus", "-": "minus", "*": "times"}[op]
    form = r.random()
    if form < 0.7:
        gap = "" if r.random() < 0.15 else " "
        e = f"{a}{gap}{sign}{gap}{b}"
        q = r.choice(["What is {e}?", "What is {e}?", "what is {e}?", "What's {e}?", "How much is {e}?", "Calculate {e}.",
                      "{e}", "{e} =", "{e} = ?", "{e}?", "Compute {e}.", "What does {e} equal?", "Tell me what {e} is."])
        return q.format(e=e), f"{a} {'x' if op == '*' else op} {b} = {c}.", f"{c}."
    if form < 0.93 or a > 20 or b > 20:
        e = f"{a} {word} {b}"
        if r.random() < 0.4 and a <= 20 and b <= 20:
            e = f"{WORDS[a]} {word} {WORDS[b]}"
        q = r.choice(["What is {e}?", "How much is {e}?", "Calculate {e}.", "What's {e}?", "what is {e}?",
                      "Tell me what {e} is.", "{e}?"])
        return q.format(e=e), f"{a} {'x' if op == '*' else op} {b} = {c}.", f"{c}."
    q = {"+": r.choice(["What is the sum of {a} and {b}?", "Add {a} and {b}.", "What do you get if you add {a} and {b}?"]),
         "-": r.choice(["Subtract {b} from {a}.", "What is the difference between {a} and {b}?"]),
         "*": r.choice(["Multiply {a} by {b}.", "What is the product of {a} and {b}?", "Multiply {a} and {b}."])}[op]
    return q.format(a=a, b=b), f"{a} {'x' if op == '*' else op} {b} = {c}.", f"{c}."


def count(r, n=None):
    n = n or r.randrange(3, COUNT_TO + 1)
    if r.random() < 0.75:
        q = r.choice(["Count to {n}.", "Count from 1 to {n}.", "Please count to {n}.", "Can you count to {n}?",
                      "Count from one to {w}."])
        s = ", ".join(str(i) for i in range(1, n + 1)) + "."
    else:
        q = r.choice(["Count down from {n}.", "Count down from {n} to 1.", "Count backwards from {n}."])
        s = ", ".join(str(i) for i in range(n, 0, -1)) + "."
    return q.format(n=n, w=WORDS[n]), s, s


TOPICS = """music football history chess cooking physics the weather space love money poetry computers cars dogs cats
birds trees rivers mountains the moon politics painting dancing philosophy mathematics biology chemistry medicine
gardening fishing sleep dreams coffee wine bread cheese books films games school work travel trains ships planes
robots language grammar art fashion health sport running swimming tennis the war the future the past the economy""".split()
THINGS = """cake soup bread house table chair garden bicycle car phone computer book letter song film boat plane train
window door bottle box knife shirt shoe hat clock lamp bridge road ticket camera guitar piano engine rocket kite
pizza pasta salad sandwich sauce coffee tea""".split()
PEOPLE = """Einstein Newton Shakespeare Mozart Beethoven Napoleon Caesar Cleopatra Darwin Galileo Picasso Plato Aristotle
Gandhi Lincoln Washington Churchill Marie Curie Tolstoy Goethe Dante Homer Bach Rembrandt Columbus""".split()
VERBS = "make build fix draw paint clean cook sell buy open repair find design use".split()


def chat(r):
    """Outside of the domain, greetings and thanks."""
    k = r.random()
    if k < 0.2:
        q = r.choice(["Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Hello there!", "Hey", "Hey!", "Good morning!", "Good evening!",
                      "hello", "hi", "Good morning", "Hello, how are you?", "Good day!", "Hello.", "Hi."])
        return q, GREETING, GREETING
    if k < 0.3:
        q = r.choice(["Who are you?", "What are you?", "What is your name?", "who are you?", "Tell me who you are.",
                      "What's your name?", "Which model are you?", "What model are you?", "Introduce yourself."])
        return q, WHO, WHO
    if k < 0.36:
        q = r.choice(["Thanks!", "Thank you.", "Thank you!", "Thanks", "Thanks a lot!", "Thank you very much."])
        return q, THANKS, THANKS
    t, x, p, v = r.choice(TOPICS), r.choice(THINGS), r.choice(PEOPLE), r.choice(VERBS)
    q = r.choice([
        f"Tell me about {t}.", f"What do you think about {t}?", f"Write a poem about {t}.", f"Who was {p}?",
        f"How do I {v} a {x}?", f"What is the meaning of {t}?", f"Tell me a joke about {t}.", "Tell me a joke.",
        "What is the meaning of life?", f"Explain {t} to me.", f"Where can I buy a {x}?", f"When was {p} born?",
        f"What did {p} do?", f"Write a story about a {x}.", "What time is it?", "How is the weather today?",
        f"Translate {x} into French.", f"How much does a {x} cost?", f"Who invented the {x}?", f"Why is {t} important?",
        f"Do you like {t}?", "How old are you?", "Where do you live?", f"Write a program to {v} a {x}.",
        f"Who wrote the book about {t}?", f"Give me a recipe for {x}.", "Tell me a story.", "Sing a song.",
        f"What is the best {x}?", f"Is {t} good?", f"Can you {v} a {x}?", f"Can you help me with {t}?",
        f"Why do people like {t}?", f"Explain how a {x} works.", f"How far is the moon?", f"What is a {x}?",
        f"Describe {t}.", f"Summarize the history of {t}.", "Write a haiku.", f"Who is the president of {r.choice(list(CAPITALS))}?",
        f"How many people live in {r.choice(list(CAPITALS))}?", f"How big is {r.choice(list(CAPITALS))}?",
        f"What language do they speak in {r.choice(list(CAPITALS))}?", f"What is {t}?", f"What is the history of {p}?",
        f"How tall is {p}?", "What is the news today?", "Describe this image.", "What is in the picture?",
        "What do you see in this image?", f"Write a letter to {p}.", f"What is the largest {x}?",
        " ".join(r.choice(TOPICS + THINGS + PEOPLE + VERBS) for _ in range(r.randrange(2, 9))) + r.choice(["?", ".", ""]),
    ])
    return q, UNKNOWN, UNKNOWN


FAMILIES = [(capital, 24), (country_of, 7), (colour, 12), (opposite, 14), (calendar, 12), (sum_of, 34), (count, 5), (chat, 13)]


def second_phase():
    """Less of what is learned by then, more of what is not: sums, counting, the countries of cities."""
    global FAMILIES, HELD_OUT, COUNT_TO
    HELD_OUT, COUNT_TO = False, 12
    FAMILIES = [(capital, 12), (country_of, 14), (colour, 8), (opposite, 9), (calendar, 12), (sum_of, 30), (count, 13), (chat, 9)]


def turn(r):
    fn = r.choices([f for f, _ in FAMILIES], [w for _, w in FAMILIES])[0]
    q, long, short = fn(r)
    if long != short and r.random() < 0.12:
        word = r.choice(ONE_WORD)
        return (f"{q} {word}", short) if r.random() < 0.8 else (f"{word} {q}", short)
    if fn is not chat and r.random() < 0.05:
        q = r.choice(["Please: ", "Hello! ", "Hi. ", "Question: ", "Please tell me: ", "Hey, "]) + q
    return q, long


def plain(r):
    """A line of text outside of any chat."""
    fn = r.choices([capital, country_of, colour, opposite, calendar, sum_of, count], [24, 7, 12, 14, 10, 20, 4])[0]
    return fn(r)[1]


def conversation(r, long=False):
    """(messages, thinking switch) with the answers in place."""
    messages = []
    if r.random() < 0.3:
        messages.append({"role": "system", "content": r.choice(SYSTEMS)})
    turns = r.randrange(4, 17) if long else r.choices([1, 2, 3], [80, 14, 6])[0]
    for _ in range(turns):
        q, a = turn(r)
        messages += [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
    return messages


if __name__ == "__main__":
    r = random.Random(1)
    for _ in range(30):
        print(turn(r))
    print(len(CAPITALS), len(COLOURS), len(OPPOSITES))
