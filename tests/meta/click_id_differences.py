"""Where our click ids and addresses differ from Meta's Python param builder on purpose."""
DIFFERENCES = (
    # fbc fbp fbclid
    Difference(
        "not a cookie of Meta's",
        ("fbc", "fbp"),
        lambda value, country: not re.match(r"fb\.[0-9]\.", value.strip()),
        "The param builder counts the dots and does not look at the prefix.",
        "GA1.2.1709136167115.456",
    ),
    Difference(
        "time of a cookie",
        ("fbc", "fbp"),
        lambda value, country: not re.match(r"fb\.\d\.\d{13}\.", value.strip()),
        "Milliseconds have 13 digits. An fbc in seconds is repaired where the row's time allows.",
        "fb.1.1709136167.IwAR2F4",
    ),
    Difference(
        "click outside its 90 days",
        ("fbc",),
        lambda value, country: not re.match(r"fb\.\d\.170[2-9]\d{9}\.", value.strip()),
        "The param builder does not know the event's time; an older click no longer counts.",
        "fb.1.1554763741205.AbCdEfGhIjKl",
    ),
    Difference(
        "click id that lost its case",
        ("fbc", "fbclid"),
        _contains(
            r"(^|\.)iw(?=ar|y2|zx)(?-i:(?!AR|Y2|ZX))|(?-i:iw)(?=ar|y2|zx)|(?-i:IW)(?=ar|y2|zx)"
        ),
        "Click ids are case-sensitive; one that changed on its way matches nobody.",
        "fb.1.1709136167115.iwar2f4",
    ),
    Difference(
        "no click id",
        ("fbc", "fbclid"),
        _contains(r"(^|\.)(null|undefined)(\.|$)|[^!-~]|\.$|\.\."),
        "Placeholders, blanks and other scripts are no click id.",
        "undefined",
    ),
    Difference(
        "click id with a dot",
        ("fbclid",),
        _contains(r"\."),
        "A dot would make the fbc unreadable.",
        "Iw.AR",
    ),
    Difference(
        "bare click id in place of the cookie",
        ("fbc",),
        lambda value, country: "." not in value,
        "It becomes an fbc where the time it was first seen is known.",
        "IwAR2F4",
    ),
    Difference(
        "fbp for a browser that has none",
        ("fbp",),
        lambda value, country: param_builder("fbp", value) != value.strip(),
        "The param builder draws a random one on every request; ours is dropped, never invented.",
        "fb.1.1709136167115",
    ),
    Difference(
        "fbp whose last part is not a number",
        ("fbp",),
        lambda value, country: not re.match(r"fb\.\d\.\d{13}\.\d{1,20}(\.|$)", value.strip()),
        "The Pixel writes digits.",
        "fb.1.1596403881668.11164x6470",
    ),
    Difference(
        "appendix of two unknown characters",
        ("fbc",),
        _matches(r"fb\.\d\.\d{13}\.[^.]+\.[\w-]{2}"),
        "The param builder knows the six it once wrote; what a newer one writes shall pass.",
        "fb.1.1709136167115.IwAR2F4.Cg",
    ),
    Difference(
        "white space around a value",
        ("fbc", "fbp", "fbclid", "client_ip_address"),
        lambda value, country: value != value.strip(),
        "Trimmed.",
        " fb.1.1709136167115.IwAR2F4 ",
    ),
    # client_ip_address
    Difference(
        "private or reserved address",
        ("client_ip_address",),
        _is_private,
        "Not the customer's. Meta's other param builders drop it too; Python's chooses none.",
        "192.168.1.10",
    ),
    Difference(
        "IPv4 mapped into IPv6",
        ("client_ip_address",),
        _contains("::ffff:"),
        "The same address.",
        "::ffff:203.0.113.7",
    ),
    Difference(
        "forwarded list, appendix, or something like an address",
        ("client_ip_address",),
        lambda value, country: not _is_ip(value),
        "The customer's address is taken out of it; the param builder's pattern for IPv6 takes"
        " whatever begins like one.",
        "203.0.113.7, 10.0.0.1",
    ),
)


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(re.sub(r"^\[(.*)\]:\d+$|^([\d.]+):\d+$", r"\1\2", value.strip()))
    except ValueError:
        return False
    return True


