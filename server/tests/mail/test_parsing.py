"""Taking mails apart that nobody made with care: never an error of our own, never without bound."""

from __future__ import annotations

import time
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskplane.kernel.markup import clean_html
from deskplane.mail import bodies, quoting
from deskplane.mail.parsing import Unreadable, parse
from fuzzing.targets import mail as check
from mail.incoming_help import letter

TOP = b"From: kim@acme.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def part(kind: str, data: bytes, *more: str) -> bytes:
    return "\r\n".join([f"Content-Type: {kind}", *more, "", ""]).encode() + data + b"\r\n"


def multipart(kind: str, *parts: bytes, boundary: str = "edge", end: bool = True) -> bytes:
    lines = [f"Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n".encode()]
    lines += [f"--{boundary}\r\n".encode() + one for one in parts]
    return b"".join(lines) + (f"--{boundary}--\r\n".encode() if end else b"")


@pytest.mark.parametrize(
    ("charset", "data", "text"),
    [
        ("utf-8", "Grüße ✓".encode(), "Grüße ✓"),
        ("iso-8859-1", "Grüße „so“ – 5 €".encode("cp1252"), "Grüße „so“ – 5 €"),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет"),
        ("shift_jis", "火事".encode("shift_jis"), "火事"),
        ("us-ascii", "Grüße".encode(), "Grüße"),
        ("utf-8", "Grüße".encode("latin-1"), "Grüße"),
        ("unknown-8bit", "Grüße".encode(), "Grüße"),
        ("x-no-such-thing", b"Gr\xfc\xdfe", "Grüße"),
        ("punycode", b"abc-def", "abc-def"),
        ("zlib", b"abc", "abc"),
        ("", b"abc", "abc"),
        ("utf-8", b"a\x00b\x1bc\x7fd\r\n\te", "abcd\n\te"),
    ],
)
def test_words_are_read_in_whatever_charset_they_are_in(charset: str, data: bytes, text: str) -> None:
    found = parse(TOP + part(f"text/plain; charset={charset}", data, "Content-Transfer-Encoding: 8bit"))
    assert found.text.strip("\n") == text


def test_transfer_encodings_are_undone_as_far_as_they_go() -> None:
    for encoding, data, text in (
        ("base64", b"R3LDvMOfZQ==", "Grüße"),
        ("base64", b"R3LDvM OfZQ", "Grüße"),
        ("quoted-printable", b"Gr=C3=BC=C3=9F=\r\ne", "Grüße"),
        ("quoted-printable", b"100=%", "100=%"),
        ("x-odd", b"as it is", "as it is"),
    ):
        found = parse(TOP + part("text/plain; charset=utf-8", data, f"Content-Transfer-Encoding: {encoding}"))
        assert found.text.strip("\n") == text, encoding


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M?=", "Jörg M"),
        (b"=?iso-8859-1?q?J=F6rg?=", "Jörg"),
        (b"=?no-such?q?J=F6rg?= x", None),
        (b"=?utf-8?b?SsO2cmc?=", "Jörg"),
        ("Jörg".encode(), "Jörg"),
        (b"J\xf6rg", "J�rg"),
        (b"a\r\n b\tc", "a b c"),
        (b"x=?utf-8?q?=0D=0ABcc:_eve@evil.example?=", None),
        (b"=?utf-8?q?a=00=E2=80=AEb=E2=80=8Bc?=", None),
        (b"", ""),
    ],
)
def test_a_subject_is_one_line_without_what_nobody_sees(raw: bytes, text: str | None) -> None:
    found = parse(b"From: a@b.example\r\nSubject: " + raw + b"\r\n\r\nhello").subject
    assert text is None or found == text
    assert not set(found) & set("\r\n\x00\u202e\u200b")


def test_a_header_in_a_name_adds_no_header() -> None:
    found = parse(b"From: =?utf-8?q?Kim=0D=0ABcc:_eve@evil.example?= <kim@acme.example>\r\n\r\nx")
    assert found.senders == [("kim@acme.example", "Kim Bcc: eve@evil.example")]


def test_a_message_id_can_be_written_down_whatever_bytes_it_has() -> None:
    found = parse(
        b"Message-ID: <\xff1@acme.example>\r\n"
        b"References: <\xc3\xa9@x> <\xff2@acme.example> <3@\x00acme.example> <4\x07@acme.example>\r\n\r\nx"
    )
    assert (found.message_id, found.answered) == ("<\ufffd1@acme.example>", ["<\xe9@x>", "<\ufffd2@acme.example>"])


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("Kim <KIM@Acme.Example>", "kim@acme.example"),
        ("kim@acme.example", "kim@acme.example"),
        ('"eve@evil.example" <kim@acme.example>', "kim@acme.example"),
        ("kim@acme.example <eve@evil.example>", "eve@evil.example"),
        ("a@b@c", None),
        ("<>", None),
        ("undisclosed-recipients:;", None),
        ('"Lee, Kim" <kim@acme.example>', "kim@acme.example"),
        ("eve@evil.example, kim@acme.example", "eve@evil.example"),
        ("", None),
    ],
)
def test_who_wrote(header: str, address: str | None) -> None:
    sender = parse(f"From: {header}\r\n\r\nx".encode()).sender
    assert sender is None if address is None else sender is not None and sender.address == address


def test_of_two_forms_the_html_is_shown_and_what_is_beside_is_kept() -> None:
    raw = TOP + multipart(
        "mixed",
        multipart(
            "related",
            multipart(
                "alternative",
                part("text/plain", b"words"),
                part("text/html", b"<p>words <img src='cid:pic@x'></p>"),
                part("text/calendar; name=invite.ics", b"BEGIN:VCALENDAR"),
                boundary="inner",
            ),
            part("image/png; name=pic.png", b"\x89PNG", "Content-ID: <pic@x>", "Content-Disposition: inline"),
            boundary="middle",
        ),
        part("application/pdf", b"%PDF", "Content-Disposition: attachment; filename*=utf-8''%C3%BCber.pdf"),
        part("message/rfc822", b"Subject: inner\r\n\r\nforwarded", "Content-Disposition: attachment"),
        part("text/plain", b"the end"),
    )
    found = parse(raw)
    assert [(file.name, file.content_id) for file in found.files] == [
        ("invite.ics", None),
        ("pic.png", "pic@x"),
        ("über.pdf", None),
        ("part-9.eml", None),
    ]
    assert found.text.split() == ["words", "the", "end"]
    assert b"forwarded" in found.files[3].data
    assert found.files[3].content_type == "message/rfc822"
    shown = bodies.shown(found, answer=False)
    assert shown.index("words") < shown.index("the end")
    kept = [bodies.Kept(f"id-{index}", file.content_id) for index, file in enumerate(found.files)]
    assert '<img src="cid:id-1">' in bodies.with_images(shown, kept)
    assert "<img" not in bodies.with_images(shown, [])


@pytest.mark.parametrize(
    ("raw", "text", "files"),
    [
        (multipart("mixed", part("text/plain", b"never ended"), end=False), "never ended", []),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", "no boundary", []),
        (b"Content-Type: multipart/mixed; boundary=none\r\n\r\nnever there", "never there", []),
        (multipart("mixed"), "", []),
        (b"Content-Type: nonsense\r\n\r\nplain", "plain", []),
        (b"Content-Type: text/plain; =;;\r\n\r\nplain", "plain", []),
        (multipart("signed; micalg=x", part("text/plain", b"signed"), part("application/pkcs7-signature; name=smime.p7s", b"MII")), "signed", ["smime.p7s"]),  # noqa: E501
        (part("application/pkcs7-mime; name=smime.p7m", b"MII"), "", ["smime.p7m"]),
        (multipart("mixed", part("application/ms-tnef; name=winmail.dat", b"x")), "", ["winmail.dat"]),
        (multipart("mixed", part("application/octet-stream", b"x")), "", ["part-2.bin"]),
        (multipart("mixed", part("image/jpeg", b"x"), part("text/csv", b"a,b")), "", ["part-2.jpg", "part-3.csv"]),
    ],
)  # fmt: skip
def test_odd_mails_lose_nothing(raw: bytes, text: str, files: list[str]) -> None:
    found = parse(TOP + raw)
    assert found.text.strip() == text
    assert [file.name for file in found.files] == files


def nested(depth: int) -> bytes:
    found = part("text/plain", b"at the bottom")
    for level in range(depth):
        found = multipart("mixed", found, boundary=f"edge{level}")
    return TOP + found


def test_what_would_take_too_long_is_refused_at_once() -> None:
    assert parse(nested(15)).text.strip() == "at the bottom"
    bombs = [
        nested(30),
        nested(250),
        nested(2_000),
        TOP + multipart("mixed", *[part("text/plain", b"x")] * 500),
        TOP + multipart("mixed", *[part("message/rfc822", TOP + part("text/plain", b"x"))] * 5000),
        b"X: y\r\n" * 200_000 + b"\r\nx",
        TOP + b"\r\n" + b"\n" * 2_100_000,
    ]
    begun = time.monotonic()
    for bomb in bombs:
        with pytest.raises(Unreadable):
            parse(bomb)
    assert time.monotonic() - begun < 20


def test_a_file_of_20_megabytes_is_taken() -> None:
    data = bytes(range(256)) * 80_000
    found = parse(letter(files=[("big.bin", "application/x-big", data)]))
    assert [(file.name, file.data == data) for file in found.files] == [("big.bin", True)]


def test_html_that_is_too_deep_or_long_is_kept_as_a_file() -> None:
    for html in ("<div>" * 50_000, "<p>x</p>" * 100_000):
        found = parse(letter(text="words", html=html))
        assert [file.name for file in found.files] == ["message.html"]
        assert bodies.shown(found, answer=False) == "<p>words</p>"


BAD_HTML = """
<script>alert(1)</script><style>body{background:url(https://tracker.example/)}</style>
<p onclick="alert(1)" style="position:fixed">one</p>
<a href="javascript:alert(1)">two</a><a href=" JaVa&#x53;cript:alert(1)">three</a><a href="data:text/html,x">four</a>
<img src="https://tracker.example/pixel.png" onerror="alert(1)"><img src="//tracker.example/p"><img srcset="x 1x">
<img src="data:image/svg+xml;base64,PHN2Zz4="><img src="cid:ok@x" onload="alert(1)" style="x">
<a href="cid:ok@x">five</a>
<form action="https://evil.example"><input name="password"><button formaction="javascript:x">six</button></form>
<svg onload="alert(1)"><script>alert(1)</script><a xlink:href="javascript:alert(1)">x</a><foreignObject><p>y</p></svg>
<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>
<iframe src="https://evil.example"></iframe><object data="x"></object><embed src="x"><base href="https://evil.example">
<meta http-equiv="refresh" content="0;url=https://evil.example"><link rel="stylesheet" href="https://evil.example">
<video poster="https://tracker.example/v"><audio src="https://tracker.example/a"></audio></video>
<table background="https://tracker.example/t"><tr><td>seven</td></tr></table>
<noscript><p title="</noscript><img src=x>">
"""


def test_html_is_shown_without_anything_that_acts_or_asks_anybody() -> None:
    for html in (BAD_HTML, BAD_HTML + "<p>long</p>" * 500):
        for shown in (clean_html(html), quoting.shown("", html, answer=True), clean_html(clean_html(html))):
            low = shown.lower()
            for bad in ("script", "onclick", "onerror", "onload", "style", "javascript", "tracker", "evil", "data:",
                        "<form", "<input", "<button", "<svg", "<math", "<iframe", "<object", "<embed", "<base", "<meta",
                        "<link", "<video", "<audio", "srcset", "background", "formaction"):  # fmt: skip
                assert bad not in low, bad
            assert low.count("<img") == 1
            assert 'href="cid:' not in low
            assert all(word in shown for word in ("one", "two", "three", "four", "five", "seven"))


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("Yes.\n\nOn Mon, 2 Mar 2026 at 10:00, Desk <d@x.y> wrote:\n> On fire?\n", "Yes."),
        ("Ja.\n\nAm 02.03.2026 um 10:00 schrieb Desk <d@x.y>:\n> Brennt es?\n", "Ja."),
        ("Oui.\n\nLe lun. 2 mars 2026 à 10:00, Desk <d@x.y> a écrit :\n> Feu ?\n", None),
        ("Yes\n\nFrom: Desk <d@x.y>\nSent: Monday\nTo: Kim\nSubject: Fire\n\nIs it on fire?", "Yes"),
        ("Yes\n\n> Is it on fire?", "Yes"),
        ("On Mon, 2 Mar 2026 at 10:00, Desk wrote:\n> On fire?\nYes, it is.\n> Sure?\nSure.", None),
        ("Hi\n\nOn Mon, 2 Mar 2026 at 10:00, Desk wrote:\n> On fire?\nYes, it is.\n", None),
        ("On Mon, 2 Mar 2026 at 10:00, Desk wrote:\n> all quoted\n", None),
        ("> only quoted", None),
        ("", None),
    ],
)
def test_of_an_answer_the_new_words_are_shown(text: str, new: str | None) -> None:
    if new is None and "écrit" not in text:
        assert quoting.new_text(text) == text
    elif new is not None:
        assert quoting.new_text(text) == new


def test_what_mail_programs_mark_as_quoted_is_not_shown_again() -> None:
    for html in (
        '<div>Yes</div><br><div class="gmail_quote"><div>On Mon Desk wrote:</div><blockquote>Q</blockquote></div>',
        '<p>Yes</p><div class="moz-cite-prefix">Am 2.3. schrieb D:</div><blockquote type="cite"><p>Q</p></blockquote>',
        '<div>Yes</div><div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>From:</b> Desk</div><div>Q</div>',
        "<p>Yes</p><p>On Mon, 2 Mar 2026 at 10:00, Desk wrote:</p><p>Q</p>",
    ):
        shown = quoting.shown("", html, answer=True)
        assert "Yes" in shown
        assert "Q" not in shown
        assert "Q" in quoting.shown("", html, answer=False)
    only = '<div class="gmail_quote"><blockquote>Q</blockquote></div>'
    assert "Q" in quoting.shown("", only, answer=True), "better all than nothing"


@pytest.mark.parametrize(
    "line", ["On ", "Am ", "Le ", "On x wrote ", "Den skrev ", "> ", "*", "-", "From: ", "\n", " "]
)
def test_no_text_keeps_the_search_for_quotations_busy(line: str) -> None:
    for text in (line * 100_000, (line * (150 // len(line)) + "\n") * 2000):
        begun = time.monotonic()
        quoting.new_text(text)
        assert time.monotonic() - begun < 5


_WORDED = rb"""--edge
--edge--

Content-Type: multipart/mixed; boundary=edge
Content-Type: multipart/alternative
Content-Type: multipart/report; report-type=delivery-status; boundary=edge
Content-Type: text/html; charset=utf-7
Content-Type: message/rfc822
Content-Type: message/delivery-status
Content-Type: message/external-body
Content-Type: message/partial
Content-Type: ;
Content-Type
Content-Transfer-Encoding: base64
Content-Transfer-Encoding: x-uuencode
Content-Disposition: attachment
Content-Disposition: inline; filename*0*=utf-8''%ff; filename*1=x
Content-Disposition: ;="
Content-ID: <>
From: <a@b>, (c
From: =?
From: "
From kim
To:
Subject: =?utf-8?b?////?= =?a?q??=
In-Reply-To: <<>>
Message-ID: <>
Date: x
MIME-Version: 1.0
begin 644 x
<p><img src=cid:>
 folded"""
_LINES = st.sampled_from([*_WORDED.split(b"\n"), b"\tfolded", b"\xff\xfe\x00", b"<p>\xff"])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_LINES, max_size=40), st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_no_arrangement_of_mail_is_an_error(lines: list[bytes], end: bytes) -> None:
    check(end.join(lines))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), st.integers(0, 1500), st.booleans())
def test_no_broken_mail_is_an_error(noise: bytes, at: int, cut: bool) -> None:
    whole = _whole()
    check(whole[:at] + noise + (b"" if cut else whole[at:]))


def _whole() -> bytes:
    found = EmailMessage(policy=SMTP)
    found["From"], found["To"], found["Subject"] = "Kïm <kim@acme.example>", "desk@example.org", "Grüße"
    found.set_content("Wörter")
    found.add_alternative("<p>Wörter</p>", subtype="html")
    found.add_attachment(b"data", maintype="application", subtype="pdf", filename="über.pdf")
    return bytes(found)


@pytest.mark.soak
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_LINES | st.binary(max_size=60), max_size=80), st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_no_arrangement_of_mail_is_an_error_at_length(lines: list[bytes], end: bytes) -> None:
    check(end.join(lines))
