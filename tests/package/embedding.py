#!/usr/bin/env python3
"""docs/embedding.md shows no C that is not in an example, names nothing that is not in the header, links to what is there."""
import pathlib
import re

DOC = pathlib.Path("docs/embedding.md")
text = DOC.read_text()
examples = {line.strip() for file in pathlib.Path("examples").glob("*.[ch]") for line in file.read_text().splitlines()}
header = pathlib.Path("include/devmgr.h").read_text()
done = 0


def check(name, wrong):
    global done
    done += 1
    print(f"{'not ' if wrong else ''}ok {done} - {name}")
    for one in wrong:
        print(f"# {one}")


blocks = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
check("there is C in it", [] if blocks else ["none"])
check("every line of it is in an example",
      [line for block in blocks for line in block.splitlines() if line.strip() and line.strip() not in examples])
names = set(re.findall(r"\b(?:devmgr|DEVMGR)_\w*[a-zA-Z]\b", text))
check("every name is in devmgr.h", sorted(name for name in names if not re.search(rf"\b{name}\b", header)))
links = set(re.findall(r"\]\(([^)#]+)", text))
check("every link leads somewhere", sorted(link for link in links if not (DOC.parent / link).exists()))
print(f"1..{done}")
