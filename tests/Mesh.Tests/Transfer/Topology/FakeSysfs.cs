// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Tests.Transfer.Topology;

/// <summary>A folder of the form of /sys, with links as the kernel makes them.</summary>
internal sealed class FakeSysfs : IDisposable
{
    public string Root { get; } = System.IO.Directory.CreateTempSubdirectory("sysfs-").FullName;

    public void Dispose() => System.IO.Directory.Delete(Root, recursive: true);

    public FakeSysfs Node(params int[] numbers)
    {
        foreach (int number in numbers)
            System.IO.Directory.CreateDirectory($"{Root}/devices/system/node/node{number}");
        System.IO.Directory.CreateDirectory($"{Root}/devices/system/node/power");
        return this;
    }

    /// <summary>An RDMA device on a card at a path below /sys/devices.</summary>
    public FakeSysfs Nic(string name, string path, int numaNode)
    {
        string card = Card(path, "0x15b3", "0x020000", numaNode);
        string device = System.IO.Directory.CreateDirectory($"{card}/infiniband/{name}").FullName;
        System.IO.Directory.CreateSymbolicLink($"{device}/device", "../..");
        Link($"class/infiniband/{name}", device);
        return this;
    }

    /// <summary>An RDMA device that is made of software.</summary>
    public FakeSysfs VirtualNic(string name)
    {
        Link($"class/infiniband/{name}", System.IO.Directory.CreateDirectory(
            $"{Root}/devices/virtual/infiniband/{name}").FullName);
        return this;
    }

    public FakeSysfs Gpu(string path, int numaNode, string kind = "0x030200", string vendor = "0x10de")
    {
        Card(path, vendor, kind, numaNode);
        return this;
    }

    private string Card(string path, string vendor, string kind, int numaNode)
    {
        string card = System.IO.Directory.CreateDirectory($"{Root}/devices/{path}").FullName;
        File.WriteAllText($"{card}/vendor", vendor + "\n");
        File.WriteAllText($"{card}/class", kind + "\n");
        File.WriteAllText($"{card}/numa_node", numaNode + "\n");
        Link($"bus/pci/devices/{Path.GetFileName(path)}", card);
        return card;
    }

    private void Link(string name, string target)
    {
        string link = Path.Combine(Root, name);
        string folder = System.IO.Directory.CreateDirectory(Path.GetDirectoryName(link)!).FullName;
        System.IO.Directory.CreateSymbolicLink(link, Path.GetRelativePath(folder, target));
    }
}
