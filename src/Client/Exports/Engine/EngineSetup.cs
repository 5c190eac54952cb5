// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Cuda;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Verbs;

namespace Mooncake.Mesh.Exports.Engine;

/// <summary>What Mooncake's users pass to make an engine, as options of ours; the environment says the rest.</summary>
internal static class EngineSetup
{
    /// <summary>The options.</summary>
    /// <param name="metadata">P2PHANDSHAKE, etcd://..., or host:port of an etcd.</param>
    /// <param name="localName">The engine's name, or host[:port].</param>
    /// <param name="host">Where it is reached when the name is a mere name.</param>
    /// <param name="port">Port, 0 for one of its choice.</param>
    /// <param name="discover">Whether every transport may be used; else none before it is installed.</param>
    public static TransferEngineOptions Options(string metadata, string localName, string host, int port, bool discover)
    {
        var common = OpenOptions.FromEnvironment(Environment.GetEnvironmentVariable);
        ClusterSecret? secret = null;
        if (common.SecretFile is not null)
        {
            var read = ClusterSecret.FromFile(common.SecretFile);
            secret = read.Succeeded ? read.Value
                : throw new RefusedException(ErrorCodes.InvalidParams, read.Error!.Message);
        }

        return new TransferEngineOptions
        {
            Metadata = metadata.Contains(':') && !metadata.Contains('/') ? "etcd://" + metadata : metadata,
            LocalName = localName,
            Host = host,
            Port = port,
            Rdma = new RdmaOptions { Devices = common.RdmaDevices },
            Transports = discover ? TransferTransports.All : TransferTransports.None,
            Devices = HostCuda.OfProcess,
            Cluster = common.Cluster,
            EtcdAccess = new EtcdRegistryOptions
            {
                User = common.EtcdUser,
                PasswordFile = common.EtcdPasswordFile,
                CaFile = common.EtcdCa,
                CertificateFile = common.EtcdCert,
                KeyFile = common.EtcdKey,
            },
            Secret = secret,
            Insecure = common.Insecure,
        };
    }
}
