// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>
/// One setting as text: its name in the file ("etcd.passwordFile"), and from it the environment variable
/// (MOONCAKE_MESH_ETCD_PASSWORD_FILE) and the flag (--etcd-password-file).
/// </summary>
/// <param name="Name">Name in the file.</param>
/// <param name="Help">One line for the help text.</param>
/// <param name="Apply">Sets it from text; a FormatException says what is wrong.</param>
internal sealed record ServeSetting(string Name, string Help, Func<ServeOptions, string, ServeOptions> Apply)
{
    /// <summary>Prefix of every environment variable.</summary>
    internal const string Prefix = "MOONCAKE_MESH_";

    /// <summary>Every setting, in the order of the help text.</summary>
    internal static IReadOnlyList<ServeSetting> All { get; } =
    [
        new("cluster", "name of the mesh", (o, v) => o with { Cluster = v }),
        new("nodeId", "stable name of this node (default: the host name)", (o, v) => o with { NodeId = v }),
        new("listen", "address for peers and clients; port 0: any free port", (o, v) => o with { Listen = v }),
        new("advertise", "address that peers use, if not the one listened on", (o, v) => o with { Advertise = v }),
        new("rails", "addresses of this host's network cards, for large reads: IP,IP",
            (o, v) => o with { Rails = Names(v) }),
        new("transport", "by what large objects travel: auto, tcp, shm or rdma", (o, v) => o with { Transport = v }),
        new("rdma.devices", "RDMA devices to use (default: all): NAME,NAME",
            (o, v) => o with { Rdma = o.Rdma with { Devices = Names(v) } }),
        new("rdma.exclude", "RDMA devices to leave out: NAME,NAME",
            (o, v) => o with { Rdma = o.Rdma with { Exclude = Names(v) } }),
        new("rdma.topology", "RDMA devices for each NUMA node, nearest first: {\"cpu:0\":[[\"NAME\"],[\"NAME\"]]}",
            (o, v) => o with { Rdma = o.Rdma with { Topology = v } }),
        new("rdma.gidIndex", "row of the GID table to send from (default: chosen)",
            (o, v) => o with { Rdma = o.Rdma with { GidIndex = Whole(v) } }),
        new("rdma.port", "port of each RDMA device", (o, v) => o with { Rdma = o.Rdma with { Port = Whole(v) } }),
        new("rdma.trafficClass", "DSCP and ECN bits of RoCE packets, 0 to 255",
            (o, v) => o with { Rdma = o.Rdma with { TrafficClass = Whole(v) } }),
        new("rdma.serviceLevel", "InfiniBand service level, 0 to 15",
            (o, v) => o with { Rdma = o.Rdma with { ServiceLevel = Whole(v) } }),
        new("rdma.relaxedOrdering", "let the devices write to memory in any order",
            (o, v) => o with { Rdma = o.Rdma with { RelaxedOrdering = Truth(v) } }),
        new("socketPath", "Unix socket for processes of this host; \"\" for none", (o, v) => o with { SocketPath = v }),
        new("admin", "loopback address of health, status and metrics", (o, v) => o with { Admin = v }),
        new("masterHttp", "address that answers routers as Mooncake's master does (default: none)",
            (o, v) => o with { MasterHttp = v }),
        new("etcd.endpoints", "etcd endpoints, separated by commas",
            (o, v) => o with { Etcd = o.Etcd with { Endpoints = v } }),
        new("etcd.user", "etcd user", (o, v) => o with { Etcd = o.Etcd with { User = v } }),
        new("etcd.passwordFile", "file with the etcd user's password",
            (o, v) => o with { Etcd = o.Etcd with { PasswordFile = v } }),
        new("etcd.ca", "PEM file of etcd's certificate authority", (o, v) => o with { Etcd = o.Etcd with { Ca = v } }),
        new("etcd.cert", "PEM file of our etcd client certificate",
            (o, v) => o with { Etcd = o.Etcd with { Cert = v } }),
        new("etcd.key", "PEM file of that certificate's key", (o, v) => o with { Etcd = o.Etcd with { Key = v } }),
        new("segments", "memory contributed: SIZE[,location=PLACE][,hugePages=BOOL][,preTouch=BOOL][;SIZE...]",
            (o, v) => o with { Segments = SegmentList(v) }),
        new("giveBack", "GPUs whose memory is not taken, or given back at a reload: cuda:N,cuda:N",
            (o, v) => o with { GiveBack = Names(v) }),
        new("clientWrites", "who may write what it puts into shared memory itself: off, user or group",
            (o, v) => o with { ClientWrites = v }),
        new("clientReservedBytes", "most bytes one such process has under way (default: a quarter of the memory)",
            (o, v) => o with { ClientReservedBytes = Quantity.Size(v) }),
        new("clientViewBytes", "most bytes one process of this host has in view (default: half of the memory)",
            (o, v) => o with { ClientViewBytes = Quantity.Size(v) }),
        new("weight", "share of the ring, 0 to 1048576", (o, v) => o with { Weight = Whole(v) }),
        new("labels", "labels: zone=a,rack=r1", (o, v) => o with { Labels = LabelList(v) }),
        new("leaseTtl", "time to live of the registration", (o, v) => o with { LeaseTtl = Quantity.Duration(v) }),
        new("grace", "how long reads are served after leaving", (o, v) => o with { Grace = Quantity.Duration(v) }),
        new("runtimeDirectory", "where sockets and the lease id are kept",
            (o, v) => o with { RuntimeDirectory = v }),
        new("secretFile", "file with the cluster secret, one a line, two at most", (o, v) => o with { SecretFile = v }),
        new("insecure", "allow other than loopback addresses without a cluster secret",
            (o, v) => o with { Insecure = Truth(v) }),
        new("logLevel", "trace, debug, info, warn or error", (o, v) => o with { LogLevel = v }),
        new("waitForNodeId", "wait while a living node has this id", (o, v) => o with { WaitForNodeId = Truth(v) }),
        new("hardPinRatio", "share of the memory that hard pins may take, 0 to 1",
            (o, v) => o with { HardPinRatio = Ratio(v) }),
        new("eviction_high_watermark_ratio", "share in use above which objects are evicted in the background",
            (o, v) => o with { EvictionHighWatermarkRatio = Ratio(v) }),
        new("eviction_ratio", "least share that such a round frees",
            (o, v) => o with { EvictionRatio = Ratio(v) }),
        new("tiers.place", "where new objects go first, with segments in both: dram, vram or any",
            (o, v) => o with { Tiers = o.Tiers with { Place = v } }),
        new("tiers.promoteAfter", "reads into a GPU's memory that move an object there; 0: none is moved there",
            (o, v) => o with { Tiers = o.Tiers with { PromoteAfter = Whole(v) } }),
        new("tiers.promoteWithin", "within what time",
            (o, v) => o with { Tiers = o.Tiers with { PromoteWithin = Quantity.Duration(v) } }),
        new("tiers.demote", "let a full GPU move to the host's memory what was not read lately",
            (o, v) => o with { Tiers = o.Tiers with { Demote = Truth(v) } }),
    ];

    /// <summary>Name of the environment variable.</summary>
    internal string Variable => Prefix + Words('_').ToUpperInvariant();

    /// <summary>Name of the flag.</summary>
    internal string Flag => "--" + Words('-');

    private string Words(char separator)
    {
        var words = new System.Text.StringBuilder();
        foreach (char c in Name)
        {
            if (char.IsAsciiLetterUpper(c))
                words.Append(separator);
            words.Append(c is '.' or '_' ? separator : char.ToLowerInvariant(c));
        }

        return words.ToString();
    }

    private static IReadOnlyList<SegmentSetting> SegmentList(string text) =>
        [.. text.Split(';', StringSplitOptions.RemoveEmptyEntries).Select(SegmentSetting.Parse)];

    /// <summary>What is between the commas.</summary>
    internal static string[] Names(string text) =>
        text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static Dictionary<string, string> LabelList(string text)
    {
        var labels = new Dictionary<string, string>();
        const StringSplitOptions Trimmed = StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries;
        foreach (string label in text.Split(',', Trimmed))
        {
            if (label.Split('=', 2) is not [{ Length: > 0 } name, var value])
                throw new FormatException($"'{label}' is no label; write zone=a,rack=r1");
            labels[name] = value;
        }

        return labels;
    }

    private static int Whole(string text) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
            ? value
            : throw new FormatException($"'{text}' is no whole number");

    private static double Ratio(string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value)
            ? value
            : throw new FormatException($"'{text}' is no number from 0 to 1");

    private static bool Truth(string text) => text.Trim().ToLowerInvariant() switch
    {
        "true" or "1" or "yes" or "on" => true,
        "false" or "0" or "no" or "off" => false,
        _ => throw new FormatException($"'{text}' is neither true nor false"),
    };
}
