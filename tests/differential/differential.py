"""Compares our client with python-tuf's over generated and mutated repositories.

Each case is made from a seed: a repository of random shape, which both clients follow; then a next
generation of it with one mutation, which both are shown. What is compared: whether each refresh succeeds,
which top-level files are trusted afterwards, and for some paths whether the target is had, and its bytes.

A mutation may name a difference that is explained: a rule that we keep and python-tuf does not. Then we
may refuse what python-tuf takes; the other way round only where the mutation says so. Where both have a
target, its bytes are the same whatever is explained.
"""

import argparse
import copy
import datetime
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from urllib import parse

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

TOP = ["root", "timestamp", "snapshot", "targets"]
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def at(days):
    return (NOW + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_signer(number):
    """Every third key is ECDSA; the same number gives the same key."""
    seed = hashlib.sha256(b"key %d" % number).digest()
    if number % 3 == 2:
        private = ec.derive_private_key(int.from_bytes(seed, "big") >> 8, ec.SECP256R1())
    else:
        private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


SIGNERS = [make_signer(number) for number in range(16)]


def key_json(signer):
    return signer.public_key.to_dict()


class Repository:
    """Metadata as JSON, signed when it is written: a mutation can say what no library would."""

    def __init__(self, rng):
        self.rng = rng
        self.roles = {}  # name -> signed part
        self.keys = {}  # role -> signers
        self.targets = {}  # path -> bytes
        self.roots = []  # signed files
        self.rotated = set()
        self.listed_fully = rng.random() < 0.6
        keys = {}
        roles = {}
        for role in TOP:
            signers = rng.sample(SIGNERS, rng.choice([1, 1, 2, 3]))
            self.keys[role] = signers
            for signer in signers:
                keys[signer.public_key.keyid] = key_json(signer)
            keyids = [signer.public_key.keyid for signer in signers]
            roles[role] = {"keyids": keyids, "threshold": rng.randint(1, len(keyids))}
        common = {"spec_version": "1.0.31", "version": 1}
        consistent = rng.random() < 0.8
        self.roles["root"] = {"_type": "root", "expires": at(90), "consistent_snapshot": consistent,
                              "keys": keys, "roles": roles, **common}
        self.roles["timestamp"] = {"_type": "timestamp", "expires": at(2), "meta": {}, **common}
        self.roles["snapshot"] = {"_type": "snapshot", "expires": at(20), "meta": {}, **common}
        self.add_targets_role("targets", self.keys["targets"])
        parents = ["targets"]
        for number in range(rng.choice([0, 1, 2, 3, 5])):
            parent = rng.choice(parents)
            name = rng.choice(["tenant", "a.b-c", "bin", "x_y", "Upper", "sp ace", "slash/ed", "?q"]) + str(number)
            self.delegate(parent, name)
            parents.append(name)
        if rng.random() < 0.1 and len(parents) > 2:
            self.delegate(parents[-1], parents[1])
        for role in parents:
            for number in range(rng.choice([0, 1, 2])):
                self.add_target(role, rng.choice(["acme", "other", "deep/er"]) + f"/{role[:3].strip('?')}{number}/file.txt")

    def add_targets_role(self, name, signers):
        self.keys[name] = signers
        self.roles[name] = {"_type": "targets", "expires": at(60), "spec_version": "1.0.31",
                            "version": 1, "targets": {}}

    def delegate(self, parent, name):
        rng = self.rng
        if name not in self.roles:
            self.add_targets_role(name, rng.sample(SIGNERS, rng.choice([1, 1, 2])))
        signers = self.keys[name]
        body = self.roles[parent].setdefault("delegations", {"keys": {}, "roles": []})
        for signer in signers:
            body["keys"][signer.public_key.keyid] = key_json(signer)
        entry = {"name": name, "keyids": [signer.public_key.keyid for signer in signers],
                 "threshold": rng.randint(1, len(signers)), "terminating": rng.random() < 0.3}
        if rng.random() < 0.25:
            digits = "0123456789abcdef"
            entry["path_hash_prefixes"] = rng.sample(digits, rng.randint(1, 14))
        else:
            entry["paths"] = rng.choice([["*/*/*"], ["acme/*/*"], ["*"], ["other/*/file.txt", "acme/*/file.???"],
                                         ["deep/*/*/*"], ["*/*/file.txt", "deep/er/*/*"], ["[ao]*/*/*"]])
        body["roles"].append(entry)

    def add_target(self, role, path):
        content = self.rng.randbytes(self.rng.randint(0, 40))
        # One path may be vouched for by several roles: the content is the one of the path.
        content = self.targets.setdefault(path, content)
        hashes = {"sha256": hashlib.sha256(content).hexdigest()}
        if self.rng.random() < 0.2:
            hashes["sha512"] = hashlib.sha512(content).hexdigest()
        self.roles[role]["targets"][path] = {"length": len(content), "hashes": hashes}

    def sign(self, role, body, extra=()):
        message = canonical(body)
        signatures = [signer.sign(message) for signer in [*self.keys[role], *extra]]
        unique = {signature.keyid: signature.signature for signature in signatures}
        return {"signatures": [{"keyid": keyid, "sig": sig} for keyid, sig in unique.items()], "signed": body}

    def meta_of(self, role, data):
        meta = {"version": self.roles[role]["version"]}
        if self.listed_fully:
            meta["length"] = len(data)
            meta["hashes"] = {"sha256": hashlib.sha256(data).hexdigest()}
        return meta

    def next_generation(self):
        for role in self.roles:
            if role != "root":
                self.roles[role]["version"] += 1

    def write(self, folder, mutation=None):
        """Signs bottom up, mutating on the way, and writes all files."""
        metadata = os.path.join(folder, "metadata")
        os.makedirs(metadata, exist_ok=True)
        os.makedirs(os.path.join(folder, "targets"), exist_ok=True)
        consistent = self.roles["root"]["consistent_snapshot"]
        for path, content in self.targets.items():
            names = [path]
            if consistent:
                parts, _, name = path.rpartition("/")
                for algorithm in (hashlib.sha256, hashlib.sha512):
                    names.append(f"{parts}/{algorithm(content).hexdigest()}.{name}")
            for name in names:
                place = os.path.join(folder, "targets", name)
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with open(place, "wb") as file:
                    file.write(content)
        order = [role for role in self.roles if role not in TOP] + ["targets", "snapshot", "timestamp"]
        for role in order:
            data = self.signed_file(role, mutation)
            if role == "snapshot":
                self.roles["timestamp"]["meta"]["snapshot.json"] = self.meta_of(role, data)
            elif role != "timestamp":
                self.roles["snapshot"]["meta"][f"{role}.json"] = self.meta_of(role, data)
            if mutation and mutation.role == role and mutation.after:
                data = mutation.after(self.rng, data)
            name = parse.quote(role, "") + ".json"
            if role != "timestamp" and consistent:
                name = f"{self.roles[role]['version']}.{name}"
            if mutation and mutation.role == role and mutation.absent:
                continue
            with open(os.path.join(metadata, name), "wb") as file:
                file.write(data)
        for number, data in enumerate(self.roots, start=1):
            with open(os.path.join(metadata, f"{number}.root.json"), "wb") as file:
                file.write(data)

    def signed_file(self, role, mutation):
        body = self.roles[role]
        if mutation and mutation.role == role and mutation.before:
            body = copy.deepcopy(body)
            mutation.before(self.rng, body, self)
        metadata = self.sign(role, body)
        if mutation and mutation.role == role and mutation.envelope:
            mutation.envelope(self.rng, metadata, self)
        return spell(metadata)

    def add_root(self, extra=(), mutation=None):
        body = self.roles["root"]
        if mutation and mutation.before:
            body = copy.deepcopy(body)
            mutation.before(self.rng, body, self)
        metadata = self.sign("root", body, extra)
        if mutation and mutation.envelope:
            mutation.envelope(self.rng, metadata, self)
        data = spell(metadata)
        if mutation and mutation.after:
            data = mutation.after(self.rng, data)
        self.roots.append(data)

    def rotate(self, role):
        """Gives a role other keys, by a new root."""
        rng = self.rng
        before = list(self.keys[role])
        self.rotated.add(role)
        root = self.roles["root"]
        root["version"] += 1
        self.keys[role] = rng.sample(SIGNERS, rng.choice([1, 2]))
        keyids = [signer.public_key.keyid for signer in self.keys[role]]
        for signer in self.keys[role]:
            root["keys"][signer.public_key.keyid] = key_json(signer)
        root["roles"][role] = {"keyids": keyids, "threshold": rng.randint(1, len(keyids))}
        return before if role == "root" else []


def canonical(body):
    try:
        return encode_canonical(body).encode()
    except FormatError:
        # Canonical JSON has no floats: signed as a publisher would who does not know.
        return json.dumps(body, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def spell(metadata):
    return json.dumps(metadata, separators=(",", ":"), sort_keys=True).encode()


class Mutation:
    """One thing that is wrong, or unusual, in the second generation of one role."""

    def __init__(self, name, before=None, envelope=None, after=None, absent=False, explained=None, roles=None,
                 either=False):
        self.name, self.before, self.envelope, self.after = name, before, envelope, after
        self.absent, self.explained, self.roles, self.either = absent, explained, roles, either
        self.role = None

    def on(self, role):
        mutation = copy.copy(self)
        mutation.role = role
        return mutation


def setting(path, value):
    def change(rng, body, repository):
        place = body
        for part in path[:-1]:
            place = place.get(part, {})
        place[path[-1]] = value(rng) if callable(value) else value

    return change


def removing(member):
    return lambda rng, body, repository: body.pop(member, None)


def any_listed(rng, body, change):
    names = sorted(body["meta"])
    if names:
        change(body["meta"], rng.choice(names))


def any_role(rng, body, change):
    if "roles" in body:
        change(body["roles"][rng.choice(sorted(body["roles"]))])
    elif body.get("delegations", {}).get("roles"):
        change(rng.choice(body["delegations"]["roles"]))


def other_signatures(change):
    return lambda rng, metadata, repository: change(rng, metadata["signatures"], metadata, repository)


def flip(rng, data):
    place = rng.randrange(len(data) * 8)
    return data[: place // 8] + bytes([data[place // 8] ^ 1 << place % 8]) + data[place // 8 + 1 :]


def resign(rng, signatures, metadata, repository):
    stranger = rng.choice(SIGNERS)
    signature = stranger.sign(canonical(metadata["signed"]))
    metadata["signatures"] = [{"keyid": signature.keyid, "sig": signature.signature}]


def one_key_twice(rng, body, repository):
    """Lists a key of a role once more under another id, and asks for two signatures."""
    role = body["roles"]["timestamp"]
    first = role["keyids"][0]
    body["keys"]["ab" * 32] = copy.deepcopy(body["keys"][first])
    role["keyids"] = [first, "ab" * 32]
    role["threshold"] = 2


ANY = None
LISTING = ["timestamp", "snapshot"]
NAMING = ["root", "targets", "delegated"]
# With classes python-tuf matches more paths, of which one may lead to a terminating role: either may find more.
PATTERNS = "patterns know * and ? alone, as in the specification; python-tuf's know character classes too"

# A root that rotates the keys of timestamp or snapshot takes both files back (specification 5.3.11). python-tuf
# keeps the one whose own keys have stayed, so what goes back, in the other's eyes, one of us may never have seen.
REVOKED = "a revocation takes back timestamp and snapshot alike"
AFTER_REVOCATION = {"version back", "listed version back", "listed role gone"}

MUTATIONS = [
    Mutation("nothing"),
    Mutation("nothing"),
    Mutation("expired", setting(["expires"], at(-1))),
    Mutation("expired a second ago", setting(["expires"], at(0))),
    Mutation("expires late", setting(["expires"], "9999-12-31T23:59:59Z")),
    Mutation("expires without Z", setting(["expires"], "2040-01-01T00:00:00")),
    Mutation("expires with a fraction", setting(["expires"], "2040-01-01T00:00:00.5Z")),
    Mutation("expires is no time", setting(["expires"], "tomorrow")),
    Mutation("expires is a number", setting(["expires"], 2040)),
    Mutation("no expires", removing("expires")),
    Mutation("version back", setting(["version"], lambda rng: 1)),
    Mutation("version far ahead", setting(["version"], lambda rng: rng.randint(5, 10**6))),
    Mutation("version 0", setting(["version"], 0)),
    Mutation("version negative", setting(["version"], -3)),
    Mutation("version true", setting(["version"], True),
             explained="python's True is the number 1; in JSON it is no number"),
    Mutation("version text", setting(["version"], "2")),
    Mutation("no version", removing("version")),
    Mutation("spec_version 2", setting(["spec_version"], "2.0.0")),
    Mutation("spec_version 1.0", setting(["spec_version"], "1.0")),
    Mutation("spec_version 1.99.99", setting(["spec_version"], "1.99.99")),
    Mutation("spec_version one", setting(["spec_version"], "one")),
    Mutation("spec_version 1", setting(["spec_version"], "1")),
    Mutation("no spec_version", removing("spec_version")),
    Mutation("another type", setting(["_type"], lambda rng: rng.choice(TOP))),
    Mutation("unknown type", setting(["_type"], "mirrors")),
    Mutation("no type", removing("_type")),
    Mutation("unknown member", setting(["x-unknown"], {"a": [1, None, True, "é\n"]})),
    Mutation("no targets", removing("targets"), roles=["targets", "delegated"]),
    Mutation("no meta", removing("meta"), roles=LISTING),
    Mutation("listed version back", lambda r, b, _: any_listed(r, b, lambda m, n: m[n].update(version=1)), roles=LISTING,
             explained="a stored file has to have the digests that are listed; python-tuf believes its own by version"),
    Mutation("listed version ahead", lambda r, b, _: any_listed(r, b, lambda m, n: m[n].update(version=99)), roles=LISTING),
    Mutation("listed version 0", lambda r, b, _: any_listed(r, b, lambda m, n: m[n].update(version=0)), roles=LISTING),
    Mutation("listed length wrong", lambda r, b, _: any_listed(r, b, lambda m, n: m[n].update(length=7)), roles=LISTING),
    Mutation("listed length more", lambda r, b, _: any_listed(r, b, lambda m, n: m[n].update(length=10**6)), roles=LISTING),
    Mutation("listed hash wrong", lambda r, b, _: any_listed(r, b, lambda m, n: m[n].update(hashes={"sha256": "00" * 32})),
             roles=LISTING),
    Mutation("listed hash unknown", lambda r, b, _: any_listed(r, b, lambda m, n: m[n].update(hashes={"whirl": "00"})),
             roles=LISTING),
    Mutation("listed hash in capitals",
             lambda r, b, _: any_listed(r, b, lambda m, n: m[n].update(hashes={"sha256": "AB" * 32})), roles=LISTING,
             explained="a digest has one spelling, since it becomes a part of names; nobody else's file changes"),
    Mutation("listed role gone", lambda r, b, _: any_listed(r, b, lambda m, n: m.pop(n)), roles=LISTING,
             explained="a snapshot lists targets.json (specification 4.4); python-tuf stores one that does not, and misses it then"),
    Mutation("listed stranger", lambda r, b, _: b["meta"].update({"stranger.json": {"version": 1}}), roles=["snapshot"]),
    Mutation("timestamp lists more", lambda r, b, _: b["meta"].update({"targets.json": {"version": 1}}), roles=["timestamp"],
             explained="a timestamp lists the snapshot alone (specification 4.6); what more it says python-tuf passes over"),
    Mutation("threshold above keys", lambda r, b, _: any_role(r, b, lambda role: role.update(threshold=9)), roles=NAMING),
    Mutation("threshold 0", lambda r, b, _: any_role(r, b, lambda role: role.update(threshold=0)), roles=NAMING),
    Mutation("threshold negative", lambda r, b, _: any_role(r, b, lambda role: role.update(threshold=-1)), roles=NAMING),
    Mutation("keyid twice", lambda r, b, _: any_role(r, b, lambda role: role["keyids"].append(role["keyids"][0])), roles=NAMING),
    Mutation("keyid not listed", lambda r, b, _: any_role(r, b, lambda role: role["keyids"].append("cd" * 32)), roles=NAMING,
             explained="a role names keys that are listed; python-tuf looks when it verifies"),
    Mutation("no keyids", lambda r, b, _: any_role(r, b, lambda role: role.update(keyids=[])), roles=NAMING),
    Mutation("key of an unknown kind", lambda r, b, _: any_role(r, b, lambda role: None) or b.get("keys", {}).update(
        {"ef" * 32: {"keytype": "lattice", "scheme": "lattice", "keyval": {"public": "x"}}}), roles=["root"],
             either=True, explained="a key of a kind that is not known verifies nothing and harms nothing"),
    Mutation("a role is missing", lambda r, b, _: b["roles"].pop(r.choice(TOP)), roles=["root"]),
    Mutation("a role too many", lambda r, b, _: b["roles"].update({"mirrors": b["roles"]["root"]}), roles=["root"],
             either=True, explained="python-tuf knows four roles alone; an unknown one harms nothing"),
    Mutation("one key under two ids", one_key_twice, roles=["root"],
             explained="a threshold counts keys and not their ids"),
    Mutation("consistent_snapshot changes", lambda r, b, _: b.update(consistent_snapshot=not b["consistent_snapshot"]),
             roles=["root"]),
    Mutation("delegated role named root", lambda r, b, _: any_role(r, b, lambda role: role.update(name="root")),
             roles=["targets", "delegated"]),
    Mutation("delegated role without name", lambda r, b, _: any_role(r, b, lambda role: role.update(name="")),
             roles=["targets", "delegated"]),
    Mutation("paths and prefixes", lambda r, b, _: any_role(r, b, lambda role: role.update(paths=["*"], path_hash_prefixes=["0"])),
             roles=["targets", "delegated"]),
    Mutation("neither paths nor prefixes",
             lambda r, b, _: any_role(r, b, lambda role: (role.pop("paths", 0), role.pop("path_hash_prefixes", 0))),
             roles=["targets", "delegated"]),
    Mutation("delegation to all paths", lambda r, b, _: any_role(r, b, lambda role: role.update(paths=["*/*/*"]) if "paths" in role else None),
             roles=["targets", "delegated"]),
    Mutation("no signatures", envelope=other_signatures(lambda r, s, m, _: m.update(signatures=[]))),
    Mutation("a signature less", envelope=other_signatures(lambda r, s, m, _: s.pop(r.randrange(len(s))))),
    Mutation("a signature twice", envelope=other_signatures(lambda r, s, m, _: s.append(dict(r.choice(s))))),
    Mutation("a signature without meaning", envelope=other_signatures(lambda r, s, m, _: r.choice(s).update(sig="00"))),
    Mutation("a signature that is empty", envelope=other_signatures(lambda r, s, m, _: r.choice(s).update(sig=""))),
    Mutation("a signature that is no hex", envelope=other_signatures(lambda r, s, m, _: r.choice(s).update(sig="zz"))),
    Mutation("a signature of another key", envelope=other_signatures(resign)),
    Mutation("a signature by nobody known", envelope=other_signatures(lambda r, s, m, _: s.append({"keyid": "12" * 32, "sig": "00" * 64}))),
    Mutation("a signature without keyid", envelope=other_signatures(lambda r, s, m, _: r.choice(s).pop("keyid"))),
    Mutation("an unknown member beside signed", envelope=lambda r, m, _: m.update(note="x")),
    Mutation("a flipped bit", after=flip),
    Mutation("a flipped bit", after=flip),
    Mutation("a flipped bit", after=flip),
    Mutation("cut", after=lambda r, d: d[: r.randrange(len(d))]),
    Mutation("spaces behind", after=lambda r, d: d + b" \n"),
    Mutation("bytes behind", after=lambda r, d: d + b"{}"),
    Mutation("empty", after=lambda r, d: b""),
    Mutation("a list", after=lambda r, d: b"[]"),
    Mutation("pretty", after=lambda r, d: json.dumps(json.loads(d), indent=1).encode()),
    Mutation("in another order", after=lambda r, d: json.dumps(dict(reversed(list(json.loads(d).items())))).encode()),
    Mutation("a member twice", after=lambda r, d: d.replace(b'"signed":{', b'"signed":{"version":1,', 1),
             explained="a member twice means two things to two readers"),
    Mutation("a byte order mark", after=lambda r, d: b"\xef\xbb\xbf" + d),
    Mutation("deep", setting(["x-deep"], json.loads("[" * 40 + "]" * 40)),
             explained="nesting is bounded at 16 levels"),
    Mutation("a float", setting(["x-float"], 1.5),
             explained="canonical JSON has whole numbers alone; python-tuf cannot sign one either"),
    Mutation("not there", absent=True),
    Mutation("endless", after=lambda r, d: d + b" " * (6 << 20)),
]


class Folder(FetcherInterface):
    """Fetches from a repository's folder; addresses are paths below it."""

    def __init__(self, folder):
        self.folder = folder

    def _fetch(self, url):
        path = os.path.join(self.folder, url.removeprefix("repo:///"))
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            raise DownloadHTTPError(url, 404) from None
        yield from (data[place : place + 65536] for place in range(0, len(data), 65536))


def reference(repository, state, root, paths):
    """Returns what python-tuf makes of it."""
    targets = os.path.join(state, "targets")
    os.makedirs(targets, exist_ok=True)
    metadata = os.path.join(state, "metadata")
    os.makedirs(metadata, exist_ok=True)
    verdict, found, reason = False, {}, ""
    try:
        updater = Updater(metadata, "repo:///metadata/", targets, "repo:///targets/", Folder(repository), bootstrap=root)
        updater.refresh()
        verdict = True
    except Exception as failed:  # noqa: BLE001 - whatever it raises, it has refused
        reason = f"{type(failed).__name__}: {failed}"
    for path in paths if verdict else []:
        try:
            # An updater of its own for each: roles that a search has trusted stay in memory.
            updater = Updater(metadata, "repo:///metadata/", targets, "repo:///targets/", Folder(repository), bootstrap=root)
            updater.refresh()
            info = updater.get_targetinfo(path)
            if info is not None:
                name = os.path.join(targets, hashlib.sha256(path.encode()).hexdigest())
                updater.download_target(info, name)
                with open(name, "rb") as file:
                    found[path] = file.read()
        except Exception as failed:  # noqa: BLE001
            reason += f" [{path}: {type(failed).__name__}: {failed}]"
    return verdict, found, trusted(metadata), reason


def ours(client, repository, state, root, paths):
    """Returns what our client makes of it."""
    metadata, targets = os.path.join(state, "metadata"), os.path.join(state, "targets")
    os.makedirs(targets, exist_ok=True)
    if not os.path.exists(metadata):
        os.makedirs(metadata)
        pinned = os.path.join(state, "root.json")
        with open(pinned, "wb") as file:
            file.write(root)
        run(client, "--metadata-dir", metadata, "init", pinned)
    address = ["--metadata-dir", metadata, "--metadata-url", os.path.join(repository, "metadata")]
    code, reason = run(client, *address, "refresh")
    found = {}
    for path in paths if code == 0 else []:
        shutil.rmtree(targets)
        os.makedirs(targets)
        code_of_one, said = run(client, *address, "--target-name", path, "--target-dir", targets,
                                "--target-base-url", os.path.join(repository, "targets"), "download")
        if code_of_one == 0:
            (name,) = os.listdir(targets)
            with open(os.path.join(targets, name), "rb") as file:
                found[path] = file.read()
        else:
            reason += f" [{path}: {said}]"
    return code == 0, found, trusted(metadata), reason


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.returncode, done.stderr.strip()


def trusted(metadata):
    files = {}
    for role in TOP:
        try:
            with open(os.path.join(metadata, f"{role}.json"), "rb") as file:
                files[role] = hashlib.sha256(file.read()).hexdigest()[:16]
        except OSError:
            files[role] = None
    return files


def paths_to_ask(rng, repository):
    paths = sorted(repository.targets)
    rng.shuffle(paths)
    return [*paths[:2], "acme/nobody/file.txt"]


def run_case(client, seed, number, folder):
    rng = random.Random(f"{seed}-{number}")
    repository = Repository(rng)
    repository.add_root()
    root = repository.roots[0]
    place = os.path.join(folder, "repository")
    states = {name: os.path.join(folder, name) for name in ("reference", "ours")}
    differences = []

    def is_same(theirs, mine):
        """Whether the trusted files are the same, but for what a root has revoked (specification 5.3.11):
        we drop it, where python-tuf leaves it on the disk and believes it no more."""
        revoked = len(repository.roots) > 1 and not mine[0]
        dropped = {role for role in ("timestamp", "snapshot") if revoked and mine[2][role] is None}
        return all(mine[2][role] == theirs[2][role] for role in TOP if role not in dropped)

    def compare(step, explained=None, either=False):
        paths = paths_to_ask(rng, repository)
        theirs = reference(place, states["reference"], root, paths)
        mine = ours(client, place, states["ours"], root, paths)
        if theirs[:2] == mine[:2] and (explained or is_same(theirs, mine)):
            return "accepted" if mine[0] else "refused"
        stricter = theirs[0] and not mine[0] or theirs[0] == mine[0] and set(mine[1]) <= set(theirs[1])
        same_bytes = all(theirs[1].get(path, data) == data for path, data in mine[1].items())
        if explained and (stricter or either or theirs[0] == mine[0] is False) and same_bytes:
            return "explained"
        differences.append({"case": number, "step": step, "reference": theirs, "ours": mine})
        return "different"

    repository.write(place)
    classes = explained_by_classes(repository)
    verdicts = [(classes or "valid", compare("first generation", classes, bool(classes)))]
    for _ in range(rng.choice([0, 0, 1, 2])):
        extra = repository.rotate(rng.choice(TOP))
        repository.add_root(extra)
    mutation = rng.choice(MUTATIONS)
    delegated = [role for role in repository.roles if role not in TOP]
    candidates = []
    for role in mutation.roles or [*TOP, "delegated"]:
        candidates += delegated if role == "delegated" else [role]
    mutation = mutation.on(rng.choice(candidates)) if candidates else MUTATIONS[0].on("targets")
    if rng.random() < 0.3:
        # Without what was seen before, versions are free: other branches decide.
        shutil.rmtree(states["ours"])
        shutil.rmtree(states["reference"])
    if mutation.role == "root":
        repository.roles["root"]["version"] += 1
        if not mutation.absent:
            repository.add_root(mutation=mutation)
    repository.next_generation()
    shutil.rmtree(place)
    repository.write(place, None if mutation.role == "root" else mutation)
    is_revoked = mutation.name in AFTER_REVOCATION and repository.rotated & {"timestamp", "snapshot"}
    is_either = mutation.either or bool(classes) or bool(is_revoked)
    explained = mutation.explained or classes or (REVOKED if is_revoked else None)
    verdict = compare(f"{mutation.name} in {mutation.role}", explained, is_either)
    verdicts.append((explained or mutation.name, verdict))
    return verdicts, differences


def explained_by_classes(repository):
    """Character classes in patterns: python-tuf's are fnmatch's, the specification knows * and ? alone."""
    for body in repository.roles.values():
        for role in body.get("delegations", {}).get("roles", []):
            if any("[" in pattern for pattern in role.get("paths", [])):
                return PATTERNS
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--client", required=True)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    counted, different, explanations = Counter(), [], Counter()
    numbers = range(arguments.cases) if arguments.only is None else [arguments.only]
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    for number in numbers:
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            verdicts, differences = run_case(arguments.client, arguments.seed, number, folder)
        counted.update(verdict for _, verdict in verdicts)
        explanations.update(why for why, verdict in verdicts if verdict == "explained")
        different += differences
        for difference in differences:
            print(json.dumps(difference, default=repr), flush=True)
    for explanation, count in sorted(explanations.items()):
        print(f"{count} times: {explanation}")
    summary = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counted.items()))
    print(f"{len(numbers)} cases of seed {arguments.seed}: {summary}")
    # What no case has refused proves nothing.
    if arguments.only is None and len(numbers) >= 50 and not (counted["accepted"] and counted["refused"]):
        sys.exit("the cases do not vary")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
