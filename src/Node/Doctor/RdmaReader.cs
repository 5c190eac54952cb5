// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Net;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>Reads the RDMA devices as the kernel tells of them, whether or not a library can use them.</summary>
internal static class RdmaReader
{
    private const string Devices = "sys/class/infiniband";
    private const string DeviceFiles = "sys/class/infiniband_verbs";

    /// <summary>Reads those of these names.</summary>
    internal static RdmaFacts[] Read(HostFiles files, IEnumerable<string> names)
    {
        var named = new Dictionary<string, string>();
        foreach (string file in files.Names(DeviceFiles))
            named[files.Text($"{DeviceFiles}/{file}/ibdev")] = file;
        return [.. names.Select(name => Device(files, name, named.GetValueOrDefault(name)))];
    }

    private static RdmaFacts Device(HostFiles files, string name, string? file)
    {
        string ports = $"{Devices}/{name}/ports";
        PortFacts[] all = [.. files.Names(ports).Select(port => Port(files, $"{ports}/{port}", port))];
        return file is null
            ? new RdmaFacts(name, "", DeviceAccess.NoDriver, all)
            : new RdmaFacts(name, $"/dev/infiniband/{file}", files.Access($"dev/infiniband/{file}"), all);
    }

    private static PortFacts Port(HostFiles files, string path, string number)
    {
        bool isInfiniBand = files.Text($"{path}/link_layer") == "InfiniBand";
        string[] indices = files.Names($"{path}/gids");
        var gids = new List<GidCandidate>();
        string first = "";
        foreach (int index in indices.Select(text => int.Parse(text, CultureInfo.InvariantCulture)).Order())
        {
            if (!IPAddress.TryParse(files.Text($"{path}/gids/{index}"), out var gid))
                continue;
            string netdev = files.Text($"{path}/gid_attrs/ndevs/{index}");
            var type = isInfiniBand ? GidType.InfiniBand
                : files.Text($"{path}/gid_attrs/types/{index}") == "RoCE v2" ? GidType.RoceV2 : GidType.RoceV1;
            var entry = GidCandidate.Of(index, gid.GetAddressBytes(), type,
                (int)(files.Number($"sys/class/net/{netdev}/ifindex") ?? 0));
            if (entry.IsEmpty)
                continue;
            gids.Add(entry);
            first = first.Length == 0 ? netdev : first;
        }

        // "4: ACTIVE"
        string state = files.Text($"{path}/state").Split(' ')[^1];
        long mtu = first.Length == 0 ? 0 : files.Number($"sys/class/net/{first}/mtu") ?? 0;
        return new PortFacts(int.Parse(number, CultureInfo.InvariantCulture), state, isInfiniBand, indices.Length, gids,
            first, (int)mtu);
    }
}
