"""Standard Webhooks: the published vector, and what a receiver checks."""

from __future__ import annotations

from examples.servers.webhook_receiver import verify
from fmar_node.followers.signature import new_secret, signature, signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'


def test_the_published_vector() -> None:
    assert signature(SECRET, ID, TIMESTAMP, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_takes_what_one_of_its_secrets_has_signed_lately() -> None:
    headers = signed([SECRET, new_secret()], ID, TIMESTAMP, BODY)

    assert headers["webhook-id"] == ID
    assert verify([SECRET], headers, BODY, TIMESTAMP + 10)
    assert not verify([new_secret()], headers, BODY, TIMESTAMP)
    assert not verify([SECRET], headers, BODY + b" ", TIMESTAMP)
    assert not verify([SECRET], headers, BODY, TIMESTAMP + 301)
    assert not verify([SECRET], {**headers, "webhook-id": "another"}, BODY, TIMESTAMP)


def test_no_two_secrets_are_the_same() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
