// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;

namespace Mooncake.Mesh.Exports.Store;

/// <summary>What Mooncake's users pass to set a store up, as options of ours.</summary>
internal sealed record StoreSetup
{
    private const ulong LeastSize = 1024;
    private const ulong MostLocalBuffer = 1UL << 40;

    /// <summary>host[:port], the store's name; with memory to contribute, also where it is served.</summary>
    public string LocalHostname { get; init; } = "";

    /// <summary>etcd://..., host:port of an etcd, or what means nothing here: P2PHANDSHAKE, other URLs.</summary>
    public string MetadataServer { get; init; } = "";

    /// <summary>Bytes that this process contributes; 0: none.</summary>
    public ulong GlobalSegmentSize { get; init; }

    /// <summary>Bytes for puts from memory that is not registered; only whether there are any counts.</summary>
    public ulong LocalBufferSize { get; init; }

    /// <summary>tcp, rdma, shm or auto.</summary>
    public string Protocol { get; init; } = "";

    /// <summary>RDMA devices.</summary>
    public string DeviceName { get; init; } = "";

    /// <summary>host:port of any node, several of them, or etcd://...</summary>
    public string MasterServer { get; init; } = "";

    /// <summary>The options.</summary>
    /// <exception cref="RefusedException">One of them cannot be.</exception>
    public OpenOptions ToOptions(Func<string, string?> environment)
    {
        CheckSize("global_segment_size", GlobalSegmentSize, long.MaxValue);
        CheckSize("local_buffer_size", LocalBufferSize, MostLocalBuffer);
        string[] nodes = [];
        string etcd = "";
        if (IsEtcd(MasterServer))
            etcd = MasterServer;
        else
            nodes = OpenSetting.Names(MasterServer.Replace(';', ','));
        if (etcd.Length == 0)
            etcd = EtcdOf(MetadataServer);
        var common = OpenOptions.FromEnvironment(environment);
        string[] devices = OpenSetting.Names(DeviceName);
        var options = common with
        {
            Hostname = LocalHostname.Length > 0 ? LocalHostname : "localhost",
            Nodes = nodes,
            EtcdEndpoints = etcd,
            Transport = ProtocolOf(Protocol),
            RdmaDevices = devices.Length > 0 ? devices : common.RdmaDevices,
            SegmentSize = (long)GlobalSegmentSize,
            HasLocalBuffer = LocalBufferSize > 0,
        };
        return options.Fault() is null ? options : throw Given.Wrong(
            $"master_server_addr is '{MasterServer}' and metadata_server '{MetadataServer}'; one of them must name the "
            + "mesh: HOST:PORT of a node, or etcd://HOST:PORT");
    }

    private static bool IsEtcd(string text) => text.StartsWith("etcd://", StringComparison.OrdinalIgnoreCase);

    /// <summary>etcd as Mooncake's users name it; the other kinds of metadata server have no task here.</summary>
    private static string EtcdOf(string metadata) =>
        IsEtcd(metadata) || (metadata.Contains(':') && !metadata.Contains('/')) ? metadata : "";

    private static TransportChoice ProtocolOf(string protocol)
    {
        try
        {
            return OpenSetting.TransportOf(protocol);
        }
        catch (FormatException wrong)
        {
            throw Given.Wrong($"protocol is '{protocol}'; {wrong.Message}");
        }
    }

    private static void CheckSize(string name, ulong size, ulong most)
    {
        if (size != 0 && (size < LeastSize || size > most))
            throw Given.Wrong($"{name} is {size}; 0, or {LeastSize} to {most} are legal");
    }
}
