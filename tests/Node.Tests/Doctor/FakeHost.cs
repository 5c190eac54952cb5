// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Tests.Doctor;

/// <summary>A folder with the files by which a kernel tells of a host.</summary>
internal sealed class FakeHost : IDisposable
{
    internal FakeHost()
    {
        File("proc/self/limits", "Limit                     Soft Limit           Hard Limit           Units     \n"
            + "Max locked memory         8388608              unlimited            bytes     \n");
        File("proc/self/status", "Name:\tx\nCapEff:\t0000000000000000\n");
        File("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1 kB\n");
        File("proc/sys/kernel/osrelease", "6.1.0-28-amd64");
    }

    internal string Root { get; } = System.IO.Directory.CreateTempSubdirectory("host-").FullName;

    public void Dispose() => System.IO.Directory.Delete(Root, recursive: true);

    internal FakeHost File(string path, string text)
    {
        string file = Path.Combine(Root, path);
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        System.IO.File.WriteAllText(file, text);
        return this;
    }

    /// <summary>A RoCE device with one port, whose table holds an IPv4 address as both versions.</summary>
    internal FakeHost Device(string name, int number, string state = "4: ACTIVE", bool hasFile = true)
    {
        string device = $"sys/class/infiniband/{name}";
        string port = $"{device}/ports/1";
        File($"{port}/state", state + "\n").File($"{port}/link_layer", "Ethernet\n");
        for (int i = 0; i < 4; i++)
            File($"{port}/gids/{i}", "0000:0000:0000:0000:0000:0000:0000:0000\n");
        for (int i = 0; i < 2; i++)
        {
            File($"{port}/gids/{i}", $"0000:0000:0000:0000:0000:ffff:0a63:000{number}\n");
            File($"{port}/gid_attrs/types/{i}", i == 0 ? "IB/RoCE v1\n" : "RoCE v2\n");
            File($"{port}/gid_attrs/ndevs/{i}", $"eth{number}\n");
        }

        File($"sys/class/net/eth{number}/mtu", "9000\n").File($"sys/class/net/eth{number}/ifindex", $"{number + 2}\n");
        File($"sys/class/infiniband_verbs/uverbs{number}/ibdev", name + "\n");
        return hasFile ? File($"dev/infiniband/uverbs{number}", "") : this;
    }
}
