#!/usr/bin/env python3
"""docs/errors.md is true: each cause has its paragraph and a next step, each code of devmgr.h its row, and the words that it
explains are words that the programs say."""
import pathlib
import re

TREE = pathlib.Path(__file__).resolve().parents[2]
PAGE = (TREE / "docs/errors.md").read_text()
SOURCES = "\n".join(path.read_text() for path in sorted(TREE.glob("src/**/*.[ch]")))
SAID = re.sub(r'"\s*\n?\s*"', "", SOURCES).replace('\\"', '"')  # literals in several parts, as one


def sections(level):
    """heading -> what is under it"""
    parts = re.split(rf"^{'#' * level} (.+)$", PAGE, flags=re.M)
    return dict(zip(parts[1::2], (re.split(r"^##? ", text, flags=re.M)[0] for text in parts[2::2])))


def causes():
    words = re.search(r"devmgr_cause_name\(.*?words\[\] = \{(.*?)\};", (TREE / "src/names.c").read_text(), re.S).group(1)
    return set(re.findall(r'"(\w+)"', words))


def without_next_step():
    paragraphs = sections(3)
    return sorted({name for name in causes() if "**Next:**" not in paragraphs.get(name, "")} | (set(paragraphs) - causes()))


def codes_without_row():
    named = set(re.findall(r"\b(DEVMGR_E[A-Z]+)\s*=", (TREE / "include/devmgr.h").read_text()))
    return sorted(code for code in named if f"| `{code}` |" not in PAGE)


def never_said():
    """Of the first cells of the tables about plugins: the parts between what stands for something, and dots."""
    missing = []
    for row in re.findall(r"^\| (`.*?) \|", sections(2)["Plugins that do not get through"], re.M):
        for text in re.findall(r"`([^`]+)`", row):
            for part in re.split(r'\.\.\.|"?\b[A-Z]\b"?|: ', text):
                if len(part.strip()) > 3 and part.strip() not in SAID:
                    missing.append(part.strip())
    return missing


def links_to_nowhere():
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", PAGE, re.M)}
    return sorted(set(re.findall(r"\(#([\w-]+)\)", PAGE)) - anchors)


for number, check in enumerate((without_next_step, codes_without_row, never_said, links_to_nowhere), 1):
    wrong = check()
    for each in wrong:
        print(f"# {each}")
    print(f"{'not ok' if wrong else 'ok'} {number} - docs/errors.md: {check.__name__.replace('_', ' ')}")
print("1..4")
