# SPDX-License-Identifier: Apache-2.0
"""The example for Kubernetes and the recipe of the image fit each other, the node's defaults and its limits.

No container engine is needed, and none is at hand: this looks at what the files say.
"""

import json
import re
import unittest
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CONTAINER = REPOSITORY / "packaging/container"
UNITS = {"Mi": 2**20, "Gi": 2**30, "MiB": 2**20, "GiB": 2**30}
INSTRUCTIONS = {"FROM", "COPY", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}


def size(text):
    """Bytes of "64GiB" or "66Gi"."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()
    return int(number) * UNITS[unit]


class ContainerTests(unittest.TestCase):
    """What an operator would trip over."""

    @classmethod
    def setUpClass(cls):
        documents = {each["kind"]: each for each in yaml.safe_load_all((CONTAINER / "kubernetes.yaml").read_text())}
        cls.config = json.loads(re.sub(r",(\s*})", r"\1", documents["ConfigMap"]["data"]["config.json"]))
        cls.daemon = documents["DaemonSet"]["spec"]
        cls.pod = cls.daemon["template"]["spec"]
        cls.node, = cls.pod["containers"]
        recipe = re.sub(r"\\\n", "", (CONTAINER / "Containerfile").read_text())
        cls.recipe = [line.split(maxsplit=1) for line in recipe.splitlines() if line and not line.startswith("#")]

    def test_the_set_finds_its_pods(self):
        """Its selector is what the pods are labelled with."""
        self.assertEqual(self.daemon["selector"]["matchLabels"], self.daemon["template"]["metadata"]["labels"])

    def test_probes_ask_the_admin_port(self):
        """On the host's loopback, which the pod shares."""
        self.assertTrue(self.pod["hostNetwork"])
        host, port = self.config["admin"].split(":")
        for probe, path in (("startupProbe", "/healthz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")):
            self.assertEqual({"host": host, "port": int(port), "path": path}, self.node[probe]["httpGet"])

    def test_a_pod_has_time_for_its_grace_and_one_signal(self):
        """A hook that signals would end the grace."""
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], int(self.config["grace"].rstrip("s")))
        self.assertNotIn("lifecycle", self.node)

    def test_memory_is_for_the_segments_and_the_node(self):
        """Which are counted to it."""
        segments = sum(size(each["size"]) for each in self.config["segments"])
        self.assertGreaterEqual(size(self.node["resources"]["limits"]["memory"]), segments + 2**30)

    def test_every_volume_is_there_and_used(self):
        """By the names that the node is told."""
        mounts = {each["name"] for container in (self.node, *self.pod["initContainers"])
                  for each in container["volumeMounts"]}
        self.assertEqual({each["name"] for each in self.pod["volumes"]}, mounts)
        paths = [each["mountPath"] for each in self.node["volumeMounts"]]
        self.assertIn(str(Path(self.config["secretFile"]).parent), paths)
        config = self.node["args"][self.node["args"].index("--config") + 1]
        self.assertIn(str(Path(config).parent), paths)

    def test_the_secret_is_for_owner_and_group(self):
        """Else the node refuses it."""
        secret, = (each["secret"] for each in self.pod["volumes"] if "secret" in each)
        self.assertEqual(0, secret["defaultMode"] & 0o137)

    def test_the_image_has_the_user_that_the_pod_runs_as(self):
        """By number, as Kubernetes checks it."""
        user = self.pod["securityContext"]["runAsUser"]
        self.assertIn(["USER", f"{user}:{user}"], self.recipe)
        self.assertTrue(any(f"--uid {user} --gid {user}" in rest for _, rest in self.recipe))

    def test_the_recipe_ends_in_the_node_itself(self):
        """Without a shell that would keep SIGTERM from it."""
        self.assertEqual(set(), {word for word, _ in self.recipe} - INSTRUCTIONS)
        self.assertEqual("FROM", self.recipe[0][0])
        last = dict(self.recipe)
        self.assertEqual(["/usr/bin/mooncake-mesh"], json.loads(last["ENTRYPOINT"]))
        self.assertEqual("serve", json.loads(last["CMD"])[0])
        self.assertEqual(json.loads(last["CMD"]), self.node["args"][:3])


if __name__ == "__main__":
    unittest.main()
