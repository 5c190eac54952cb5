# SPDX-License-Identifier: Apache-2.0
"""What packaging/build.sh has made: RELEASE names the folder."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASE = Path(os.environ["RELEASE"])
PROGRAM = """
#include <mooncake_mesh.h>
#include <store_c.h>
#include <transfer_engine_c.h>
#include <stdio.h>
int main(void) { printf("%s\\n", mooncake_mesh_version()); return 0; }
"""


def output(*command, **options):
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class ReleaseTests(unittest.TestCase):
    """The packages that users get."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = Path(cls.folder.name)
        cls.deb, = RELEASE.glob("*.deb")
        cls.rpm, = RELEASE.glob("*.rpm")
        subprocess.run(["dpkg-deb", "-x", cls.deb, cls.root], check=True)
        cls.program = cls.root / "usr/bin/mooncake-mesh"
        cls.version = re.search(r"<Version>(.*)</Version>", (REPOSITORY / "Directory.Build.props").read_text())[1]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_everything_is_of_the_version(self):
        """Packages, program, library, manual and bill."""
        self.assertEqual(f"mooncake-mesh {self.version}\n", output(self.program, "--version"))
        self.assertEqual(f"{self.version}-1", output("dpkg-deb", "-f", self.deb, "Version").strip())
        self.assertEqual(f"{self.version}-1", output("rpm", "-qp", "--queryformat", "%{EVR}", self.rpm))
        self.assertIn(f'"mooncake-mesh {self.version}"', self.manual())
        self.assertEqual(self.version, self.bill()["metadata"]["component"]["version"])

    def test_deb_and_rpm_have_the_same_files(self):
        """But for the folder of libraries."""
        debs = {line.split()[5].lstrip(".").replace("/usr/lib/x86_64-linux-gnu/", "/usr/lib64/"): line.split()[0]
                for line in output("dpkg-deb", "-c", self.deb).splitlines() if not line.startswith("d")}
        rpms = {line.split()[0]: line.split()[1] for line in output(
            "rpm", "-qp", "--queryformat", "[%{FILENAMES} %{FILEMODES:perms}\n]", self.rpm).splitlines()}
        self.assertEqual(debs, {name: mode for name, mode in rpms.items() if not mode.startswith("d")})

    def test_a_c_program_finds_headers_and_library(self):
        """By pkg-config, and runs."""
        source = self.root / "program.c"
        source.write_text(PROGRAM)
        library = self.root / "usr/lib/x86_64-linux-gnu"
        environment = {**os.environ, "PKG_CONFIG_PATH": str(library / "pkgconfig"),
                       "PKG_CONFIG_SYSROOT_DIR": str(self.root)}
        for name in ("mooncake_mesh", "mooncake_store", "transfer_engine"):
            flags = output("pkg-config", "--cflags", "--libs", name, env=environment).split()
            subprocess.run(["gcc", source, f"-I{self.root}/usr/include", *flags, f"-L{library}", "-lmooncake_mesh",
                            "-o", self.root / "program"], check=True)
            self.assertEqual(f"{self.version}\n", output(
                self.root / "program", env={**os.environ, "LD_LIBRARY_PATH": str(library)}))

    def test_the_manual_has_every_command_and_flag(self):
        """As the command itself lists them."""
        manual = self.manual().replace("\\-", "-")
        commands = re.findall(r"(?m)^  ([a-z]+) ", output(self.program, "--help").partition("Commands:")[2]
                              .partition("Examples:")[0])
        self.assertGreater(len(commands), 10)
        for command in commands:
            self.assertIn(f".SH MOONCAKE-MESH {command.upper()}\n", manual)
            for flag in re.findall(r"(?m)^  (?:-., )*(--[a-z-]+)", output(self.program, command, "--help")):
                self.assertIn(flag, manual)
        troff = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", "-"], input=self.manual(), text=True,
                               capture_output=True, check=True)
        self.assertEqual("", troff.stderr)

    def test_the_shell_completes_commands_and_flags(self):
        """In bash, with what the command suggests."""
        script = self.root / "usr/share/bash-completion/completions/mooncake-mesh"
        for line, wanted in (("mooncake-mesh st", "status"), ("mooncake-mesh serve --etcd-e", "--etcd-endpoints"),
                             ("mooncake-mesh config ch", "check")):
            words = line.split()
            said = output("bash", "-c", f". {script}; COMP_LINE='{line}' COMP_POINT={len(line)}; "
                          f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _mooncake_mesh; "
                          "echo \"${COMPREPLY[@]}\"",
                          env={**os.environ, "PATH": f"{self.program.parent}:{os.environ['PATH']}"})
            self.assertEqual(wanted, said.strip())

    def test_all_that_is_linked_is_named_with_its_licence(self):
        """In both lists."""
        notices = (self.root / "usr/share/doc/mooncake-mesh/THIRD-PARTY-NOTICES").read_text()
        parts = self.bill()["components"]
        self.assertGreater(len(parts), 10)
        for part in parts:
            self.assertIn(f"{part['name']} {part['version']}\n", notices)
            self.assertTrue(part["licenses"][0]["license"]["id"])
        for name in ("dotnet-etcd", "MessagePack", "Google.Protobuf"):
            self.assertIn(name, [part["name"] for part in parts])

    def test_the_sums_are_those_of_the_files(self):
        """Of all files."""
        sums = dict(reversed(line.split(maxsplit=1)) for line in (RELEASE / "SHA256SUMS").read_text().splitlines())
        files = {path.name for path in RELEASE.iterdir() if path.is_file()} - {"SHA256SUMS"}
        self.assertEqual(files, set(sums))
        for name, digest in sums.items():
            self.assertEqual(digest, hashlib.sha256((RELEASE / name).read_bytes()).hexdigest())

    def manual(self):
        """The manual page's source."""
        return gzip.decompress((self.root / "usr/share/man/man1/mooncake-mesh.1.gz").read_bytes()).decode()

    def bill(self):
        """The bill of materials."""
        return json.loads((self.root / "usr/share/doc/mooncake-mesh/sbom.cdx.json").read_text())


if __name__ == "__main__":
    unittest.main()
