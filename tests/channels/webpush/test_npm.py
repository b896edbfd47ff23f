"""The words of a push, read by JavaScript's own hands: npm's `http_ece` decrypts ours, and we and it agree on what `web-push` makes.

The packages are fetched by name into a folder of the machine's temporary ones (as the bench does with nodemailer).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from channels.webpush.encrypt import Encryptor
from channels.webpush.subscription import decode, encode
from channels.webpush.vapid import Vapid
from plugins.testing.push_peer import VAPID_KEY
from tests.channels.webpush.npm import FOLDER, ready

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("node") is None, reason="node is not here (apt-get install nodejs npm)")]
READ = """
const ece = require('http_ece'), crypto = require('crypto');
const { bodies, scalar, auth } = JSON.parse(require('fs').readFileSync(0));
const key = crypto.createECDH('prime256v1');
key.setPrivateKey(Buffer.from(scalar, 'base64url'));
console.log(JSON.stringify(bodies.map((body) =>
  ece.decrypt(Buffer.from(body, 'base64url'), { version: 'aes128gcm', privateKey: key, authSecret: auth }).toString('utf8'))));
"""
MAKE = """
const push = require('web-push');
const { subscription, payload, vapidDetails } = JSON.parse(require('fs').readFileSync(0));
const made = push.generateRequestDetails(subscription, payload, { vapidDetails, TTL: 60, contentEncoding: 'aes128gcm' });
console.log(JSON.stringify({ body: made.body.toString('base64url'), headers: made.headers }));
"""


def node(script: str, given: object) -> object:
    assert ready(), "npm could not fetch web-push and http_ece"
    done = subprocess.run(["node", "-e", script], input=json.dumps(given), cwd=FOLDER, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_javascripts_own_reads_what_we_write() -> None:
    """Short, long and in many scripts."""
    browser, auth = ec.generate_private_key(ec.SECP256R1()), b"sixteen octets.."
    public = browser.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    texts = ["", "x", "سلام، " * 200, "🎁" * 900, json.dumps({"title": "Kami rindu"})]
    bodies = [encode(Encryptor().encrypt(text.encode(), public, auth)) for text in texts]
    scalar = browser.private_numbers().private_value.to_bytes(32, "big")
    assert node(READ, {"bodies": bodies, "scalar": encode(scalar), "auth": encode(auth)}) == texts


def test_web_push_for_node_makes_the_same_request() -> None:
    """Same subscription and key: a body of the same length and shape, a proof of the same claims and key."""
    import http_ece
    import jwt

    browser, auth = ec.generate_private_key(ec.SECP256R1()), b"sixteen octets.."
    public = browser.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    vapid = Vapid(VAPID_KEY, "mailto:ops@shop.example.com")
    subscription = {"endpoint": "https://fcm.googleapis.com/fcm/send/x", "keys": {"p256dh": encode(public), "auth": encode(auth)}}
    details = {"subject": "mailto:ops@shop.example.com", "publicKey": vapid.public_key, "privateKey": VAPID_KEY}
    made = node(MAKE, {"subscription": subscription, "payload": "hello", "vapidDetails": details})
    assert isinstance(made, dict)
    body = decode(made["body"])
    ours = Encryptor().encrypt(b"hello", public, auth)
    assert len(body) == len(ours) and body[16:21] == ours[16:21]
    assert http_ece.decrypt(body, private_key=browser, auth_secret=auth, version="aes128gcm") == b"hello"
    theirs, mine = made["headers"]["Authorization"], vapid.authorization("https://fcm.googleapis.com", 1_800_000_000)
    assert theirs.rpartition("k=")[2] == mine.rpartition("k=")[2]
    claims = [jwt.decode(each.partition("t=")[2].partition(",")[0], options={"verify_signature": False}) for each in (theirs, mine)]
    assert claims[0].keys() == claims[1].keys() and claims[0]["aud"] == claims[1]["aud"] and claims[0]["sub"] == claims[1]["sub"]


def test_the_folder_holds_what_was_asked_for() -> None:
    """Exactly the pinned packages."""
    assert ready() and (Path(FOLDER) / "node_modules" / "web-push" / "package.json").exists()
