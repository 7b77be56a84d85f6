"""An HTML page as a tree, to be read as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "use", "path", "br", "img"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    inside: list[Element | str] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        return set((self.attributes.get("class") or "").split())

    @property
    def text(self) -> str:
        """With single spaces."""
        parts = (part if isinstance(part, str) else part.text for part in self.inside)
        return " ".join(" ".join(parts).split())

    def all(self, css: str = "") -> list[Element]:
        """The elements below of a ``.class``, an ``#id`` or a tag; of any kind by default."""
        return [one for one in self._below() if one._is(css)]

    def one(self, css: str) -> Element:
        [found] = self.all(css)
        return found

    def _is(self, css: str) -> bool:
        match css[:1]:
            case "":
                return True
            case ".":
                return css[1:] in self.classes
            case "#":
                return self.attributes.get("id") == css[1:]
            case _:
                return self.tag == css

    def _below(self) -> Iterator[Element]:
        for part in self.inside:
            if isinstance(part, Element):
                yield part
                yield from part._below()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read_page(text: str) -> Element:
    """Fails for a page whose elements do not close in order."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    [whole] = reader.open
    return whole
