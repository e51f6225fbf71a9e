# SPDX-License-Identifier: Apache-2.0
"""Mails as mail programs write them."""

import itertools
from email.message import EmailMessage
from email.utils import format_datetime, localtime

SERIAL = itertools.count(1)


def letter(sender, to, subject, text="Some text.\n", cc=(), answers=None, **headers):
    """A new mail; `answers` is the mail that it answers, whose references it continues."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    if cc:
        mail["Cc"] = ", ".join(cc)
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = f"<letter.{next(SERIAL)}@{sender.split('@')[1].rstrip('>')}>"
    if answers is not None:
        parent = answers["Message-ID"]
        mail["In-Reply-To"] = parent
        mail["References"] = f"{answers.get('References', '')} {parent}".strip()
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def answer(to_mail, sender, text="An answer.\n", reply_all=False, subject=None):
    """What `reply` (or `reply all`) of a mail program makes of a mail."""
    to = to_mail.get("Reply-To") or to_mail["From"]
    cc = []
    if reply_all:
        cc = [a for name in ("To", "Cc") for a in str(to_mail.get(name, "")).split(", ") if a and sender not in a]
    subject = subject or str(to_mail["Subject"])
    if not subject.lower().startswith("re:"):
        subject = f"Re: {subject}"
    return letter(sender, str(to), subject, text, cc=cc, answers=to_mail)


def bare(message_id):
    """Without angle brackets."""
    return str(message_id).strip().strip("<>")
