"""The English vocabulary: short lists, chosen for what embeddings confuse and for what people use alike."""

from semcache.guards.vocabulary import Vocabulary, grouped

# Words that change how a question sounds, not what it asks; questions that mean the same differ in them most often.
# "By" is one of them and still marks a passive, see reading.py.
_IGNORED = """
a an the this that these those it its there here and or of in at for on with as by is are was were be been being am do
does did doing done have has had having can could should would will shall may might must i me my mine you your yours we
us our ours they them their theirs one ones some someone somebody something how what which whats hows if whether so too
also just really actually ever very quite then please pls plz kindly hi hello hey dear thanks thank thx excuse sorry
explain describe tell give show list get gets got go going want wants need needs like vs versus between about regarding
concerning according to via per each's let s t d ll re ve m etc about way ways possible able currently now
question answer define definition meaning mean means anyone anybody
up oh well ok okay questions answers any anyway best good great nice most know getting required require requires because
due become becomes through behind while some others such
"""

# Contractions without their apostrophe; those with it end in "n't", which the lexicon knows.
_NEGATIONS = """
not no never none nor neither nobody nothing nowhere cannot non unable dont cant wont isnt arent doesnt didnt wasnt
werent couldnt shouldnt wouldnt hasnt havent hadnt without
"""

# "What", "which" and "how" are ignored: they ask the same in most pairs ("what is the way", "how to").
_QUESTIONS = ("who whom whose", "when", "where", "why", "many much")

# Each group is one side of an opposition; the other side is another group. Words that have no opposite here are in it
# because they bound what is asked about, such as "during" and "both".
_SCOPES = (
    *("all every each everyone everybody everything", "only solely", "always", "sometimes", "often", "rarely"),
    *(
        "both",
        "either",
        "most",
        "least",
        "more",
        "less",
        "few fewer",
        "enough",
        "almost nearly",
        "half",
        "another other",
    ),
    *("before", "after", "until till", "since", "during", "above", "below", "under", "over", "inside indoor indoors"),
    *("outside outdoor outdoors", "into", "onto", "off", "out", "down", "against", "than", "instead"),
    *("last", "next", "previous", "current", "early earlier earliest", "late later latest", "today", "tomorrow"),
    *("yesterday", "tonight", "min minimum minimal", "max maximum maximal", "worst", "bad", "better"),
    *("worse", "high higher highest", "low lower lowest", "big bigger biggest large larger largest"),
    *("small smaller smallest", "long longer longest", "short shorter shortest", "fast faster fastest quick quickest"),
    *("slow slower slowest", "cheap cheaper cheapest", "expensive", "old older oldest", "new newer newest", "young"),
    *("enable activate", "disable deactivate", "allow permit", "block", "deny", "forbid ban", "increase raise"),
    *("decrease reduce", "rise", "fall", "gain", "lose", "win", "buy purchase", "sell", "borrow", "lend", "import"),
    *("export", "upload", "download", "open", "close", "start begin", "stop", "add", "delete remove", "install"),
    *("uninstall", "lock", "unlock", "encrypt", "decrypt", "encode", "decode", "mount", "unmount", "push", "pull"),
    *("send", "receive", "read", "write", "login signin", "logout signout", "accept", "reject", "hire", "fire"),
    *("ascending asc", "descending desc", "left", "right", "front", "back", "top", "bottom", "north", "south", "east"),
    *("west", "hot", "cold", "advantage advantages pros benefit benefits", "disadvantage disadvantages cons"),
    *("male man men boy boys he him his", "female woman women girl girls she her hers"),
    *("legal", "illegal", "positive", "negative", "internal", "external", "public", "private", "input", "output"),
    *(
        "inhale",
        "exhale",
        "prefix",
        "suffix",
        "mother",
        "father",
        "husband",
        "wife",
        "parent",
        "child children kid kids",
    ),
    *(
        "valid",
        "invalid",
        "edible",
        "inedible",
        "fiction",
        "nonfiction",
        "correct",
        "incorrect wrong",
        "complete",
        "incomplete",
    ),
    *(
        "safe",
        "unsafe dangerous",
        "possible",
        "impossible",
        "active",
        "inactive",
        "visible",
        "invisible",
        "healthy",
        "unhealthy",
    ),
    *("spring", "summer", "autumn", "winter", "single unmarried", "married", "paid", "unpaid", "known", "unknown"),
    *("adult adults", "inbound", "outbound", "incoming", "outgoing", "minor", "major"),
)

# Synonyms that are nearly always exchangeable in a question; every pair here is a risk when they are not.
_SAME = (
    *("learn study", "fix repair solve resolve", "make create earn", "car automobile", "phone smartphone mobile"),
    *("use used using uses", "work function operate", "email mail", "photo picture pic image", "movie film"),
    *("difference different", "cause reason", "pc computer", "usa us america", "uk britain", "cost price"),
    *("feet foot", "teeth tooth", "mice mouse", "criteria criterion", "company firm", "website site webpage"),
    *("choose pick select", "number no.", "tv television", "math maths mathematics"),
)

# Phrases mapped to "" are polite or empty. Hyphens make one word of a name whose parts would mean something alone.
_PHRASES = {
    "turn on": "enable", "switch on": "enable", "turn off": "disable", "switch off": "disable",
    "log in": "login", "sign in": "login", "log on": "login", "log out": "logout", "log off": "logout",
    "sign out": "logout", "no longer": "not", "not any more": "not", "prior to": "before",
    "easiest way": "", "right way": "",
    "get rid of": "remove", "more than": "more", "less than": "less", "fewer than": "less", "up to": "until",
    "at least": "min", "at most": "max", "rather than": "instead", "instead of": "instead",
    "web site": "website", "e mail": "email", "out of": "from", "miles per hour": "mph", "per cent": "percent",
    "kilometers per hour": "kmh", "kilometres per hour": "kmh", "km h": "kmh",
    "like to know": "",
    "thank you very much": "", "very much": "", "let me know": "", "please help": "",
    "lot of": "many", "lots of": "many",
    "united states of america": "usa", "united states": "usa",
    "u s": "usa", "u k": "uk", "new york": "new-york", "new zealand": "new-zealand",
}  # fmt: skip

ENGLISH = Vocabulary(
    ignored=frozenset(_IGNORED.split()),
    negations=frozenset(_NEGATIONS.split()),
    questions=grouped(_QUESTIONS),
    scopes=grouped(_SCOPES),
    same=grouped(_SAME),
    phrases={tuple(words.split()): meaning for words, meaning in _PHRASES.items()},
    sources=frozenset({"from"}),
    targets=frozenset({"to", "into", "onto", "toward", "towards"}),
)
