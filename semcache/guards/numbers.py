"""One spelling for each number, unit, month and weekday, and the tables of their spellings."""

import re
from decimal import Decimal

from semcache.guards.vocabulary import grouped

# "_" stands for a word that is left out: "one" is rarely a number ("which one"), and "second" is added below.
_SMALL = "zero _ two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_ORDINAL = "_ first _ third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"

# Ordinals stand for the same number as cardinals: "the 3rd man" is "the third man", "the second law" is "law 2".
NUMERALS: dict[str, int] = {
    **{word: value for value, word in enumerate(f"{_SMALL} eighteen nineteen".split())},
    **{word: value for value, word in enumerate(f"{_ORDINAL} fifteenth sixteenth".split())},
    **{word: value * 10 for value, word in enumerate(_TENS.split(), start=2)},
    "second": 2,
    "twentieth": 20,
    "fiftieth": 50,
    "hundredth": 100,
    "dozen": 12,
    # Roman numerals, without those that are also words, names or abbreviations, such as "iv" and "vi".
    "ii": 2,
    "iii": 3,
    "vii": 7,
    "viii": 8,
    "xii": 12,
    "xiii": 13,
    "xiv": 14,
    "xvi": 16,
}
del NUMERALS["_"]

SCALES: dict[str, int] = {
    "hundred": 100,
    "thousand": 1000,
    "k": 1000,
    "lakh": 10**5,
    "lakhs": 10**5,
    "crore": 10**7,
    "crores": 10**7,
    "million": 10**6,
    "millions": 10**6,
    "mn": 10**6,
    "billion": 10**9,
    "billions": 10**9,
    "bn": 10**9,
    "trillion": 10**12,
}

UNITS: dict[str, str] = grouped(
    (
        *("mg milligram milligrams", "g gram grams gm", "kg kilogram kilograms kilo kilos kgs", "mcg microgram µg"),
        *("lb lbs pound pounds", "oz ounce ounces", "ton tons tonne tonnes", "ml milliliter millilitre milliliters"),
        *(
            "l liter liters litre litres",
            "km kilometer kilometers kilometre kilometres kms",
            "m meter meters metre metres",
        ),
        *("cm centimeter centimeters centimetre centimetres cms", "mm millimeter millimeters millimetre millimetres"),
        *("mile miles mi", "ft foot feet", "inch inches", "yard yards", "acre acres", "mph", "kmh kph kmph"),
        *("hour hours h hr hrs", "minute minutes min mins", "sec s secs seconds second", "ms millisecond milliseconds"),
        *("day days", "week weeks wk", "month months", "year years yr yrs", "percent % pct percentage", "am", "pm"),
        *("dollar dollars $ usd bucks", "euro euros € eur", "gbp £ quid", "rupee rupees ₹ rs inr", "yen ¥ jpy"),
        *("byte bytes", "kb kilobyte kilobytes", "mb megabyte megabytes", "gb gigabyte gigabytes gig gigs"),
        *("tb terabyte terabytes", "mbps", "gbps", "celsius c centigrade", "fahrenheit f", "degree degrees °"),
        *("w watt watts", "kw kilowatt kilowatts", "v volt volts", "hz hertz", "mhz", "ghz", "mah"),
        *("tablespoon tablespoons tbsp", "teaspoon teaspoons tsp", "cup cups", "calorie calories kcal cal"),
        *(
            "年",
            "月 个月",
            "天 日",
            "周 星期 个星期",
            "小时 个小时 钟头",
            "分钟 分",
            "秒 秒钟",
            "元 块 块钱 人民币",
            "美元",
            "公里",
            "米",
            "厘米",
        ),
        *("公斤 千克", "克", "斤", "升", "毫升", "度", "岁", "次", "个", "倍"),
        *("times x", "cent cents", "gallon gallons", "point points", "inr"),
    )
)

# Single letters are units only behind a number, and so are words that mean something else without one.
ONLY_BEHIND_NUMBERS = frozenset({"min", "am", "second", "x", "rs", "mi", "cal", "pound", "pounds"}) | frozenset(
    unit for unit in UNITS if len(unit) == 1 and unit.isalpha()
)

_MONTHS = "january february march april may june july august september october november december"
MONTHS: dict[str, str] = {
    **{month: month for month in _MONTHS.split()},
    **{month[:3]: month for month in _MONTHS.split()},
    "sept": "september",
}
_DAYS = "monday tuesday wednesday thursday friday saturday sunday"
WEEKDAYS: dict[str, str] = {
    **{day: day for day in _DAYS.split()},
    **{f"{day}s": day for day in _DAYS.split()},
    "tues": "tuesday",
    "thurs": "thursday",
}

# Groups of three digits only: "3,14" is a decimal number in half of Europe, and "1,2" a list.
_GROUPED = re.compile(r"-?\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?")
_GROUPING = str.maketrans("", "", ",' ")
# Bounded, so that a megabyte of digits never becomes a Decimal.
_PLAIN = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?")


def number_text(written: str) -> str:
    """A number in figures without grouping: ``1,000`` and ``1000.00`` as ``1000``; a version or a time as it is."""
    # Only ".00", as in prices: "3.10" and "3.1" may be different versions of a program.
    text = written.translate(_GROUPING) if _GROUPED.fullmatch(written) else written
    return text.removesuffix(".00")


def scaled(number: str, scale: int) -> str:
    """A number times a scale: ``1.5`` and a million as ``1500000``; a version or a time keeps the scale behind it."""
    if not _PLAIN.fullmatch(number):
        return f"{number}*{scale}"
    # In floats 2.01 million is 2009999.9999999998.
    product = f"{Decimal(number) * scale:f}"
    return product.rstrip("0").rstrip(".") if "." in product else product


def is_year(number: str) -> bool:
    """Whether a number without a unit is likely a year: 1500 to 2100."""
    return len(number) == 4 and number.isdecimal() and 1500 <= int(number) <= 2100


def month_name(number: str) -> str:
    """The name of a month given by number, ``"05"`` as ``"may"``; other numbers as they are."""
    index = int(number)
    return _MONTHS.split()[index - 1] if 1 <= index <= 12 else number
