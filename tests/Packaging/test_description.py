# SPDX-License-Identifier: Apache-2.0
"""Nothing in nfpm.yaml is ignored where nfpm is not installed: each value is in a package or refused when changed.

Packages are built from a copy of the description over small files, once for each value in it.
"""

import copy
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDER = REPOSITORY / "packaging/tools/packages.py"
STAGED = ["bin/mooncake-mesh", "lib/libmooncake_mesh.so.0", "lib/pkgconfig/mooncake_mesh.pc", "man/mooncake-mesh.1.gz",
          "include/mooncake_mesh.h", "include/store_c.h", "include/transfer_engine_c.h", "doc/THIRD-PARTY-NOTICES",
          "doc/sbom.cdx.json"]
VARIABLES = {"VERSION": "1.2.3", "ARCH": "amd64", "MULTIARCH": "x86_64-linux-gnu", "SOURCE_DATE_EPOCH": "1700000000"}


def leaves(node, path=()):
    """Every value of the description with the way to it."""
    if isinstance(node, dict):
        for name in node:
            yield from leaves(node[name], (*path, name))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from leaves(value, (*path, i))
    else:
        yield path, node


def changed(description, path, value):
    """The description with one value changed."""
    other = copy.deepcopy(description)
    place = other
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = not value if isinstance(value, bool) else value ^ 0o100 if isinstance(value, int) else value + "x"
    return other


class Workshop:
    """A folder with small files, in which packages are built."""

    def __init__(self, folder: Path):
        self.root = folder / "root"
        for name in STAGED:
            place = self.root / "artifacts/stage" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(name)
        (self.root / "artifacts/stage/bin/mooncake-mesh").chmod(0o755)
        for name in ("packaging/linux", "LICENSE", "CHANGELOG.md"):
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.root / name)
        self.folder = folder

    def build(self, kind, description, **variables):
        """What a package says of itself; None where the description is refused."""
        (self.root / "nfpm.yaml").write_text(yaml.safe_dump(description))
        target = Path(tempfile.mkdtemp(dir=self.folder))
        done = subprocess.run([BUILDER, kind, target], capture_output=True, text=True, check=False,
                              env={**os.environ, **VARIABLES, **variables, "PACKAGES_ROOT": str(self.root)})
        if done.returncode:
            if "Traceback" in done.stderr:
                raise AssertionError(done.stderr)
            return None, done.stderr
        package, = target.iterdir()
        return package, self.deb(package) if kind == "deb" else self.rpm(package)

    def deb(self, package):
        """Everything in a deb but the time it was made."""
        with tempfile.TemporaryDirectory() as work:
            subprocess.run(["dpkg-deb", "-R", package, work], check=True)
            control = sorted((path.name, path.read_text()) for path in Path(work, "DEBIAN").iterdir())
        members = subprocess.run(["ar", "t", package], check=True, capture_output=True, text=True).stdout
        listing = subprocess.run(["dpkg-deb", "-c", package], check=True, capture_output=True, text=True).stdout
        return package.name, members, listing, control

    def rpm(self, package):
        """The same of an rpm."""
        asked = "%{NAME} %{EVR} %{ARCH} %{SUMMARY} %{GROUP} %{LICENSE} %{VENDOR} %{PACKAGER} %{PAYLOADCOMPRESSOR} " \
                "%{DESCRIPTION}\n"
        return package.name, subprocess.run(
            ["rpm", "-qp", "--queryformat", asked, "--dump", "--scripts", "--requires", "--recommends", package],
            check=True, capture_output=True, text=True).stdout


class DescriptionTests(unittest.TestCase):
    """nfpm.yaml, and what is built from it without nfpm."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.shop = Workshop(Path(cls.folder.name))
        cls.description = yaml.safe_load((REPOSITORY / "nfpm.yaml").read_text())
        # Quicker to build; what is built with each is looked at below.
        cls.description["deb"]["compression"] = "none"
        cls.description["rpm"]["compression"] = "gzip"

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_every_value_is_in_a_package_or_refused(self):
        """One package or the other differs, or says why it cannot be built."""
        plain = {kind: self.shop.build(kind, self.description)[1] for kind in ("deb", "rpm")}
        ignored = []
        for path, value in leaves(self.description):
            other = changed(self.description, path, value)
            if not any(self.shop.build(kind, other)[1] != plain[kind] for kind in ("deb", "rpm")):
                ignored.append(path)
        self.assertEqual([], ignored)

    def test_what_is_not_known_is_refused_by_name(self):
        """At every level of the description."""
        for place in ((), ("contents", 0), ("contents", 0, "file_info"), ("overrides",), ("overrides", "deb"),
                      ("scripts",), ("deb",), ("deb", "triggers"), ("rpm",)):
            other = copy.deepcopy(self.description)
            node = other
            for step in place:
                node = node[step]
            node["newfangled"] = "x"
            package, said = self.shop.build("deb", other)
            self.assertIsNone(package, place)
            self.assertRegex(said, r"^packages\.py: .*newfangled")

    def test_the_same_twice(self):
        """Whenever it is built."""
        for kind in ("deb", "rpm"):
            first, second = (self.shop.build(kind, self.description)[0].read_bytes() for _ in range(2))
            self.assertEqual(first, second, kind)

    def test_version_and_architecture_come_from_outside(self):
        """As build.sh sets them."""
        deb, said = self.shop.build("deb", self.description, VERSION="9.8.7", ARCH="arm64",
                                    MULTIARCH="aarch64-linux-gnu")
        self.assertEqual("mooncake-mesh_9.8.7-1_arm64.deb", deb.name)
        self.assertIn("/usr/lib/aarch64-linux-gnu/libmooncake_mesh.so.0", said[2])
        rpm, _ = self.shop.build("rpm", self.description, VERSION="9.8.7", ARCH="arm64")
        self.assertEqual("mooncake-mesh-9.8.7-1.aarch64.rpm", rpm.name)

    def test_the_configuration_is_kept_over_upgrades(self):
        """By both."""
        _, deb = self.shop.build("deb", self.description)
        self.assertEqual("/etc/mooncake-mesh/config.json\n", dict(deb[3])["conffiles"])
        rpm, _ = self.shop.build("rpm", self.description)
        flags = subprocess.run(["rpm", "-qp", "--queryformat", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", rpm],
                               check=True, capture_output=True, text=True).stdout
        self.assertEqual(["/etc/mooncake-mesh/config.json cn"],
                         [line.strip() for line in flags.splitlines() if re.search(r" c", line)])

    def test_the_version_has_one_place(self):
        """Directory.Build.props."""
        version = re.search(r"<Version>(.*)</Version>", (REPOSITORY / "Directory.Build.props").read_text())[1]
        files = subprocess.run(["git", "-C", REPOSITORY, "grep", "-lF", f'"{version}"'], capture_output=True, text=True,
                               check=False).stdout.split()
        self.assertEqual([], [file for file in files if file.startswith(("packaging", "nfpm", "src"))])


if __name__ == "__main__":
    unittest.main()
