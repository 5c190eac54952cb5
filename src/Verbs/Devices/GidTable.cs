// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>Reads a port's GID table: from the library, or with an older one row by row and from sysfs.</summary>
internal static unsafe class GidTable
{
    /// <summary>The rows that hold a GID, by index.</summary>
    /// <param name="allRows">Rows of every port of the device together.</param>
    /// <exception cref="VerbsException">The library refuses.</exception>
    internal static IReadOnlyList<GidEntry> Read(
        IbverbsLibrary library, ibv_context* context, InfinibandSysfs sysfs, string device, PortInfo port,
        int allRows) =>
        library._ibv_query_gid_table is null
            ? ReadRows(library, context, sysfs, device, port)
            : ReadTable(library, context, port.Number, allRows);

    private static List<GidEntry> ReadTable(IbverbsLibrary library, ibv_context* context, byte port, int allRows)
    {
        // The call answers for every port at once, and refuses a table that is too small.
        var rows = new ibv_gid_entry[allRows];
        nint count;
        fixed (ibv_gid_entry* first = rows)
            count = library._ibv_query_gid_table(context, first, (nuint)rows.Length, 0, (nuint)sizeof(ibv_gid_entry));
        if (count < 0)
            throw new VerbsException((int)-count, "ibv_query_gid_table");

        var found = new List<GidEntry>();
        for (int i = 0; i < count; i++)
        {
            ref ibv_gid_entry row = ref rows[i];
            if (row.port_num == port)
                found.Add(new GidEntry((int)row.gid_index, Copy(row.gid), Kind(row.gid_type), row.ndev_ifindex));
        }

        found.Sort((left, right) => left.Index.CompareTo(right.Index));
        return found;
    }

    private static List<GidEntry> ReadRows(
        IbverbsLibrary library, ibv_context* context, InfinibandSysfs sysfs, string device, PortInfo port)
    {
        var found = new List<GidEntry>();
        for (int i = 0; i < port.GidTableLength; i++)
        {
            ibv_gid native = default;
            if (library.ibv_query_gid(context, port.Number, i, &native) != 0)
                throw new VerbsException(Marshal.GetLastSystemError(), "ibv_query_gid", $"{device}, row {i}");
            Gid gid = Copy(native);
            if (gid.Value == 0)
                continue;
            GidType type = sysfs.GidType(device, port.Number, i) == "RoCE v2" ? GidType.RoceV2
                : port.LinkLayer == LinkLayer.Ethernet ? GidType.RoceV1
                : GidType.InfiniBand;
            found.Add(new GidEntry(i, gid, type, sysfs.GidInterface(device, port.Number, i)));
        }

        return found;
    }

    private static Gid Copy(ibv_gid gid) => Gid.FromBytes(new ReadOnlySpan<byte>(gid.raw, Gid.Size));

    private static GidType Kind(ibv_gid_type type) => type switch
    {
        ibv_gid_type.IBV_GID_TYPE_ROCE_V2 => GidType.RoceV2,
        ibv_gid_type.IBV_GID_TYPE_ROCE_V1 => GidType.RoceV1,
        _ => GidType.InfiniBand,
    };
}
