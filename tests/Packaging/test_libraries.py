# SPDX-License-Identifier: Apache-2.0
"""The NuGet packages and wheels that packaging/build.sh has made: RELEASE names the folder."""

import json
import os
import re
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASE = Path(os.environ["RELEASE"])
VERSION = re.search(r"<Version>(.*)</Version>", (REPOSITORY / "Directory.Build.props").read_text())[1]
IDS = ["Mooncake.Mesh", "Mooncake.Mesh.Client", "Mooncake.Mesh.Cuda", "Mooncake.Mesh.Verbs"]
PROJECT = """<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <InvariantGlobalization>true</InvariantGlobalization>
    <NuGetAudit>false</NuGetAudit>
    <RestoreSources>{release}</RestoreSources>
  </PropertyGroup>
  <ItemGroup><PackageReference Include="Mooncake.Mesh.Client" Version="{version}" /></ItemGroup>
</Project>
"""
PROGRAM = """
using Mooncake.Mesh;
using Mooncake.Mesh.Client;
await using MeshClient client = await MeshClient.ConnectAsync(new MeshClientOptions { Nodes = [args[0]] });
await client.TryPutAsync(new MeshKey("kv/1"), "by the package"u8.ToArray());
MeshResult<byte[]> got = await client.TryGetAsync(new MeshKey("kv/1"));
Console.WriteLine(System.Text.Encoding.UTF8.GetString(got.Value));
"""


class LibraryTests(unittest.TestCase):
    """What programmers get."""

    def test_packages_have_library_docs_symbols_and_readme(self):
        """All four, of the version."""
        for name in IDS:
            with zipfile.ZipFile(RELEASE / f"{name}.{VERSION}.nupkg") as package:
                files = set(package.namelist())
                self.assertLessEqual({f"lib/net10.0/{name}.dll", f"lib/net10.0/{name}.xml", "README.md"}, files)
                self.assertIn("<license type=\"expression\">Apache-2.0</license>",
                              package.read(f"{name}.nuspec").decode())
            with zipfile.ZipFile(RELEASE / f"{name}.{VERSION}.snupkg") as symbols:
                self.assertIn(f"lib/net10.0/{name}.pdb", symbols.namelist())

    def test_a_program_uses_the_client_from_its_package(self):
        """Against a mesh of the installed program; what the packages depend on comes from the restored ones here."""
        deb, = RELEASE.glob("*.deb")
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            subprocess.run(["dpkg-deb", "-x", deb, work / "root"], check=True)
            (work / "program").mkdir()
            (work / "program/program.csproj").write_text(PROJECT.format(release=RELEASE, version=VERSION))
            (work / "program/Program.cs").write_text(PROGRAM)
            restored = os.environ.get("NUGET_PACKAGES", str(Path.home() / ".nuget/packages"))
            environment = {**os.environ, "NUGET_PACKAGES": str(work / "packages"),
                           "NUGET_FALLBACK_PACKAGES": restored}
            with subprocess.Popen([work / "root/usr/bin/mooncake-mesh", "dev", "--nodes", "1", "--segment-size",
                                   "16MiB", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as mesh:
                try:
                    endpoint = json.loads(mesh.stdout.readline())["endpoint"]
                    said = subprocess.run(["dotnet", "run", "--project", work / "program", "--", endpoint],
                                          env=environment, capture_output=True, text=True, check=False)
                    self.assertEqual("by the package\n", said.stdout, said.stderr)
                finally:
                    mesh.terminate()

    def test_the_wheels_are_there(self):
        """tests/Python installs them."""
        self.assertEqual(2, len(list(RELEASE.glob(f"*-{VERSION}-*.whl"))))


if __name__ == "__main__":
    unittest.main()
