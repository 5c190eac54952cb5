#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds what nfpm.yaml describes with dpkg-deb and rpmbuild: packages.py deb|rpm FOLDER.

For where nfpm is not installed. What it does not know how to do it refuses, so nothing in nfpm.yaml is ignored.
Variables, as for nfpm: VERSION, ARCH, MULTIARCH, SOURCE_DATE_EPOCH. PACKAGES_ROOT is another folder with nfpm.yaml.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(os.environ.get("PACKAGES_ROOT", Path(__file__).resolve().parents[2]))
SCALARS = {"name", "arch", "platform", "version", "version_schema", "release", "section", "priority", "maintainer",
           "vendor", "license", "description"}
RELATIONS = {"depends", "recommends"}
KINDS = {"", "tree", "dir", "config", "config|noreplace"}
ARCHES = {"deb": {"amd64": "amd64", "arm64": "arm64"}, "rpm": {"amd64": "x86_64", "arm64": "aarch64"}}


class Refused(Exception):
    """Something in the description that is not known here."""


def known(where: str, given: dict, names: set) -> None:
    """Refuses every key but these."""
    unknown = sorted(set(given) - names)
    if unknown:
        raise Refused(f"{where}: not known here: {', '.join(unknown)}")


def one_of(where: str, value, allowed) -> None:
    """Refuses every value but these."""
    if value not in allowed:
        raise Refused(f"{where}: {value!r} is not known here")


def expand(text: str) -> str:
    """Replaces ${NAME} by the variable's value."""
    def value(match):
        if match[1] not in os.environ:
            raise Refused(f"the variable {match[1]} is not set")
        return os.environ[match[1]]
    return re.sub(r"\$\{(\w+)\}", value, text)


@dataclass(frozen=True)
class Entry:
    """A file, symbolic link or folder of the package."""
    path: str
    source: Path | None
    mode: int
    config: bool = False
    link: str | None = None


@dataclass(frozen=True)
class Package:
    """What one format makes of the description."""
    kind: str
    fields: dict
    relations: dict
    entries: list
    scripts: dict
    settings: dict

    def __getitem__(self, name: str) -> str:
        return self.fields[name]


def mode_of(path: Path) -> int:
    """Programs and libraries keep the right to be run; nothing else has it."""
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def entries_of(content: dict, kind: str) -> list:
    """What one row of "contents" puts into the package."""
    where = f"contents: {content.get('dst')}"
    known(where, content, {"src", "dst", "type", "expand", "packager", "file_info"})
    info = content.get("file_info", {})
    known(f"{where}: file_info", info, {"mode"})
    form = content.get("type", "")
    one_of(f"{where}: type", form, KINDS)
    one_of(f"{where}: packager", content.get("packager", kind), ARCHES)
    one_of(f"{where}: expand", content.get("expand", False), (True, False))
    if content.get("packager", kind) != kind:
        return []
    target = expand(content["dst"]) if content.get("expand") else content["dst"]
    if form == "dir":
        return [Entry(target, None, info["mode"])]
    source = ROOT / content["src"]
    if form != "tree":
        if not source.is_file():
            raise Refused(f"{where}: there is no {content['src']}")
        return [Entry(target, source, info["mode"], form.startswith("config"))]
    if info or not source.is_dir():
        raise Refused(f"{where}: a tree is a folder and keeps its own modes")
    found = []
    for path in sorted(source.rglob("*")):
        place = f"{target.rstrip('/')}/{path.relative_to(source)}"
        if path.is_symlink():
            found.append(Entry(place, None, 0o777, link=os.readlink(path)))
        elif path.is_file():
            found.append(Entry(place, path, mode_of(path)))
    return found


def read(description: dict, kind: str) -> Package:
    """What the description says for one format."""
    known("nfpm.yaml", description, SCALARS | RELATIONS | {"overrides", "contents", "scripts", "deb", "rpm"})
    fields = {name: expand(str(description[name])) for name in SCALARS}
    one_of("platform", fields["platform"], ("linux",))
    one_of("version_schema", fields["version_schema"], ("none",))
    one_of("arch", fields["arch"], ARCHES[kind])
    relations = {name: list(description.get(name, [])) for name in RELATIONS}
    known("overrides", description.get("overrides", {}), set(ARCHES))
    for form, override in description.get("overrides", {}).items():
        known(f"overrides: {form}", override, RELATIONS)
        if form == kind:
            relations.update(override)
    scripts = description.get("scripts", {})
    known("scripts", scripts, {"postinstall", "preremove", "postremove"})
    for path in scripts.values():
        if not (ROOT / path).is_file():
            raise Refused(f"scripts: there is no {path}")
    known("deb", description["deb"], {"compression", "triggers"})
    known("deb: triggers", description["deb"]["triggers"], {"activate_noawait"})
    known("rpm", description["rpm"], {"group", "summary", "compression"})
    one_of("deb: compression", description["deb"]["compression"], ("xz", "gzip", "zstd", "none"))
    one_of("rpm: compression", description["rpm"]["compression"], ("xz", "gzip"))
    entries = [entry for content in description["contents"] for entry in entries_of(content, kind)]
    places = [entry.path for entry in entries]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise Refused(f"contents: twice: {', '.join(twice)}")
    return Package(kind, fields, relations, entries, {name: ROOT / path for name, path in scripts.items()},
                   description[kind])


def stage(package: Package, root: Path, epoch: int) -> None:
    """Lays the package's files out below a folder."""
    for entry in package.entries:
        place = root / entry.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.link is not None:
            place.symlink_to(entry.link)
        elif entry.source is None:
            place.mkdir(exist_ok=True)
        else:
            shutil.copyfile(entry.source, place)
        if entry.link is None:
            place.chmod(entry.mode)
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and not any(entry.path == f"/{path.relative_to(root)}" for entry in package.entries):
            path.chmod(0o755)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def run(command: list, **variables: str) -> None:
    """Runs a packager; what it does not take is refused."""
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{command[0]}: {done.stderr.strip()}")


def build_deb(package: Package, work: Path, folder: Path, epoch: int) -> Path:
    """Writes the deb."""
    root = work / "root"
    root.mkdir(mode=0o755)
    stage(package, root, epoch)
    files = [entry for entry in package.entries if entry.source is not None]
    control = root / "DEBIAN"
    control.mkdir(mode=0o755)
    summary, _, rest = package["description"].partition("\n")
    version, arch = f"{package['version']}-{package['release']}", ARCHES["deb"][package["arch"]]
    size = (sum(entry.source.stat().st_size for entry in files) + 1023) // 1024
    lines = [f"Package: {package['name']}", f"Version: {version}", f"Section: {package['section']}",
             f"Priority: {package['priority']}", f"Architecture: {arch}", f"Maintainer: {package['maintainer']}",
             f"Vendor: {package['vendor']}", f"License: {package['license']}", f"Installed-Size: {size}"]
    lines += [f"{name.capitalize()}: {', '.join(package.relations[name])}" for name in sorted(RELATIONS)
              if package.relations[name]]
    lines += [f"Description: {summary}", *(f" {line or '.'}" for line in rest.splitlines())]
    (control / "control").write_text("\n".join(lines) + "\n")
    (control / "conffiles").write_text("".join(f"{entry.path}\n" for entry in files if entry.config))
    (control / "md5sums").write_text("".join(
        f"{hashlib.md5(entry.source.read_bytes()).hexdigest()}  {entry.path.lstrip('/')}\n" for entry in files))
    (control / "triggers").write_text("".join(
        f"activate-noawait {name}\n" for name in package.settings["triggers"]["activate_noawait"]))
    for name, to in (("postinstall", "postinst"), ("preremove", "prerm"), ("postremove", "postrm")):
        if name in package.scripts:
            shutil.copyfile(package.scripts[name], control / to)
            (control / to).chmod(0o755)
    for path in [*control.iterdir(), control, root]:
        if path.suffix == "" and path.is_file() and path.name in ("control", "conffiles", "md5sums", "triggers"):
            path.chmod(0o644)
        os.utime(path, (epoch, epoch))
    target = folder / f"{package['name']}_{version}_{arch}.deb"
    run(["dpkg-deb", "--root-owner-group", f"-Z{package.settings['compression']}", "--build", root, target])
    return target


def spec(package: Package, root: Path) -> str:
    """The description as rpmbuild reads it."""
    summary, _, rest = package["description"].partition("\n")
    one_of("description", summary, (package.settings["summary"],))
    payload = {"xz": "w6.xzdio", "gzip": "w9.gzdio"}[package.settings["compression"]]
    lines = ["%global __os_install_post %{nil}", "%global debug_package %{nil}", "%global _build_id_links none",
             "%global source_date_epoch_from_changelog 0", "%global use_source_date_epoch_as_buildtime 1",
             "%global clamp_mtime_to_source_date_epoch 1", "%global _buildhost localhost",
             f"%global _binary_payload {payload}",
             f"Name: {package['name']}", f"Version: {package['version'].replace('-', '~')}",
             f"Release: {package['release']}", f"Summary: {package.settings['summary']}",
             f"Group: {package.settings['group']}", f"License: {package['license']}", f"Vendor: {package['vendor']}",
             f"Packager: {package['maintainer']}", "AutoReqProv: no"]
    lines += [f"Requires: {name}" for name in package.relations["depends"]]
    lines += [f"Recommends: {name}" for name in package.relations["recommends"]]
    lines += ["%description", *rest.splitlines(),
              "%install", f"cp -a {root}/. %{{buildroot}}/", "%files"]
    for entry in package.entries:
        mark = "%dir " if entry.source is None and entry.link is None else ""
        mark += "%config(noreplace) " if entry.config else ""
        mark += "" if entry.link is not None else f"%attr({entry.mode:04o}, root, root) "
        lines.append(f'{mark}"{entry.path}"')
    for name, section in (("postinstall", "%post"), ("preremove", "%preun"), ("postremove", "%postun")):
        if name in package.scripts:
            lines += [section, package.scripts[name].read_text().replace("%", "%%")]
    return "\n".join(lines) + "\n"


def build_rpm(package: Package, work: Path, folder: Path, epoch: int) -> Path:
    """Writes the rpm."""
    root = work / "root"
    root.mkdir(mode=0o755)
    stage(package, root, epoch)
    (work / "package.spec").write_text(spec(package, root))
    arch = ARCHES["rpm"][package["arch"]]
    run(["rpmbuild", "-bb", "--quiet", "--target", f"{arch}-linux", "--define", f"_topdir {work}/rpm", "--define",
         f"_tmppath {work}", work / "package.spec"], SOURCE_DATE_EPOCH=str(epoch))
    built, = (work / "rpm/RPMS").rglob("*.rpm")
    return Path(shutil.copy(built, folder))


def main() -> None:
    """Builds one package."""
    if len(sys.argv) != 3 or sys.argv[1] not in ARCHES:
        sys.exit("usage: packaging/tools/packages.py deb|rpm FOLDER")
    kind, folder = sys.argv[1], Path(sys.argv[2])
    try:
        package = read(yaml.safe_load((ROOT / "nfpm.yaml").read_text()), kind)
        epoch = int(os.environ["SOURCE_DATE_EPOCH"])
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            os.umask(0o022)
            print({"deb": build_deb, "rpm": build_rpm}[kind](package, Path(work), folder.resolve(), epoch))
    except (Refused, KeyError) as fault:
        sys.exit(f"packages.py: {fault!s}" if isinstance(fault, Refused) else f"packages.py: {fault!s} is missing")


if __name__ == "__main__":
    main()
