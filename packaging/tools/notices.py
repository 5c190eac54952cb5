#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Says what of others is in the packages: notices.py FOLDER writes THIRD-PARTY-NOTICES and sbom.cdx.json (CycloneDX).

Reads what the last restore of the published projects resolved. A licence that is not known here stops it.
"""

import datetime
import json
import os
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = ("src/Node", "src/Client/Exports")
# What no nuspec says by a licence expression.
LICENCES = {"HdrHistogram": "CC0-1.0"}
TEXTS = {"MIT": "licenses/MIT", "BSD-3-Clause": "licenses/BSD-3-Clause", "Apache-2.0": "../../LICENSE"}
# A gift to the public: no text goes with it.
FREE = ("CC0-1.0",)
# The compiler puts the runtime and the web server into the programs.
LINKED = re.compile(r"(runtime\..*\.Microsoft\.DotNet\.ILCompiler|Microsoft\.AspNetCore\.App\.Runtime\..*)$", re.I)


def packages() -> tuple:
    """Names with their versions, and the folder they lie in."""
    found, folders = {}, set()
    for project in PROJECTS:
        assets = json.loads((ROOT / project / "obj/project.assets.json").read_text())
        folders.update(assets["packageFolders"])
        for target in assets["targets"].values():
            for name, library in target.items():
                files = [file for file in library.get("runtime", {}) if not file.endswith("_._")]
                if library["type"] == "package" and files:
                    found.update([name.split("/")])
        for framework in assets["project"]["frameworks"].values():
            for download in framework.get("downloadDependencies", []):
                if LINKED.match(download["name"]):
                    found[download["name"]] = download["version"].strip("[]").split(",")[0]
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower())), [Path(folder) for folder in sorted(folders)]


def describe(name: str, version: str, folders: list) -> dict:
    """What a package's own description says."""
    places = [folder / name.lower() / version for folder in folders]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        sys.exit(f"notices.py: {name} {version} is not among the restored packages")
    metadata = xml.parse(place / f"{name.lower()}.nuspec").getroot()[0]
    text = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in metadata}
    licence = LICENCES.get(name, text.get("license", ""))
    if licence not in TEXTS and licence not in FREE:
        sys.exit(f"notices.py: the licence of {name} is '{licence}', which is not known")
    notices = [file.read_text(encoding="utf-8-sig") for file in sorted(place.iterdir())
               if file.name.upper().startswith("THIRD-PARTY-NOTICES")]
    return {"name": name, "version": version, "licence": licence, "url": text.get("projectUrl", ""),
            "copyright": text.get("copyright") or text.get("authors", ""), "notices": notices}


def notices(parts: list) -> str:
    """The page for people."""
    lines = ["Mooncake.Mesh contains the following works of others.", ""]
    for part in parts:
        lines += [f"{part['name']} {part['version']}", f"  {part['copyright']}", f"  {part['licence']}",
                  f"  {part['url']}", ""]
    for licence in sorted({part["licence"] for part in parts} - set(FREE)):
        lines += ["-" * 79, licence, "", (Path(__file__).parent / TEXTS[licence]).read_text()]
    said = []
    for part in parts:
        for notice in part["notices"]:
            if notice not in said:
                said.append(notice)
                lines += ["-" * 79, f"From {part['name']}", "", notice.replace("\r\n", "\n")]
    return "\n".join(lines)


def bill(parts: list) -> str:
    """The page for programs."""
    version = os.environ["VERSION"]
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    return json.dumps({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "name": "mooncake-mesh", "version": version,
                          "licenses": [{"license": {"id": "Apache-2.0"}}]},
        },
        "components": [{
            "type": "library", "name": part["name"], "version": part["version"],
            "purl": f"pkg:nuget/{part['name']}@{part['version']}", "copyright": part["copyright"],
            "licenses": [{"license": {"id": part["licence"]}}],
        } for part in parts],
    }, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes both."""
    if len(sys.argv) != 2:
        sys.exit("usage: packaging/tools/notices.py FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    found, folders = packages()
    parts = [describe(name, version, folders) for name, version in found.items()]
    (folder / "THIRD-PARTY-NOTICES").write_text(notices(parts), encoding="utf-8")
    (folder / "sbom.cdx.json").write_text(bill(parts), encoding="utf-8")


main()
