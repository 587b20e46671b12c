"""Random messages as VPP's own Python client writes them.

Usage: papi.py FOLDER SEED ROUNDS

Reads every *.api.json below FOLDER and prints a line for each message and round: the message's name and
checksum as in VPP's message table, and its bytes in hexadecimal.
"""

import json
import pathlib
import random
import sys

from vpp_papi.vpp_papi import VPPApiJSONFiles
from vpp_papi.vpp_serializer import VPPMessage

BITS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64, "i8": 8, "i16": 16, "i32": 32, "i64": 64}
TEXT = "abcdefghijklmnopqrstuvwxyz0123456789 /.:-_"


class Types:
    """Definitions by name, and random values of them."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.structs, self.unions, self.enums, self.aliases = {}, {}, {}, {}

    def add(self, api):
        self.structs.update((it[0], it[1:]) for it in api["types"])
        self.unions.update((it[0], it[1:]) for it in api["unions"])
        self.enums.update((it[0], it[1:]) for it in api["enums"] + api["enumflags"])
        self.aliases.update(api["aliases"])

    def number(self, kind):
        bits = BITS[kind]
        low = -(1 << bits - 1) if kind[0] == "i" else 0
        high = (1 << bits - (kind[0] == "i")) - 1
        edges = [low, 0, 1, high]
        return self.random.choice(edges) if self.random.random() < 0.2 else self.random.randint(low, high)

    def bytes(self, count):
        return self.random.randbytes(count)

    def text(self, most):
        return "".join(self.random.choices(TEXT, k=self.random.randint(0, most)))

    def one(self, kind):
        if kind in BITS:
            return self.number(kind)
        if kind == "bool":
            return self.random.choice([False, True])
        if kind == "f64":
            return self.random.uniform(-1e9, 1e9)
        name = kind.removeprefix("vl_api_").removesuffix("_t")
        if name == "address":
            return self.address()
        if name in self.structs:
            return self.fields(self.structs[name])
        if name in self.unions:
            arms = [it for it in self.unions[name] if isinstance(it, list)]
            arm = self.random.choice(arms)
            return {arm[1]: self.field(arm, {})}
        if name in self.enums:
            of = next((it["enumtype"] for it in self.enums[name] if isinstance(it, dict)), "u32")
            return self.number(of)
        alias = self.aliases[name]
        if "length" not in alias:
            return self.one(alias["type"])
        if alias["type"] == "u8":
            return self.bytes(alias["length"])
        return [self.one(alias["type"]) for _ in range(alias["length"])]

    def address(self):
        """The arm of the union is the one that the family says."""
        if self.random.random() < 0.5:
            return {"af": 0, "un": {"ip4": self.bytes(4)}}
        return {"af": 1, "un": {"ip6": self.bytes(16)}}

    def field(self, field, lengths):
        kind, name, *rest = [it for it in field if not isinstance(it, dict)]
        if kind == "string":
            return self.text(rest[0] - 1 if rest and rest[0] else 40)
        if not rest:
            return lengths.get(name, None) if name in lengths else self.one(kind)
        count = lengths[rest[1]] if len(rest) == 2 else rest[0] or self.random.randint(0, 4)
        if kind == "u8":
            return self.bytes(count)
        return [self.one(kind) for _ in range(count)]

    def fields(self, fields):
        fields = [it for it in fields if isinstance(it, list)]
        lengths = {}
        for it in fields:
            plain = [part for part in it if not isinstance(part, dict)]
            if len(plain) == 4:
                lengths[plain[3]] = self.random.randint(0, 4)
        return {it[1]: self.field(it, lengths) for it in fields}


def main():
    folder, seed, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for path in sorted(folder.rglob("*.api.json")):
        text = path.read_text()
        api, types = json.loads(text), Types(f"{seed} {path.name}")
        types.add(api)
        # Also makes the packers of the types.
        VPPApiJSONFiles.process_json_str(text)
        for name, *definition in api["messages"]:
            crc = definition[-1]["crc"].removeprefix("0x")
            message = VPPMessage(name, definition)
            for _ in range(rounds):
                values = types.fields(definition)
                print(f"{name}_{crc}", message.pack(values).hex())


main()
