// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Node.Logging;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Node.Configuration;

/// <summary>Checks what single values cannot show. Returns every error, each naming its setting.</summary>
internal static class ServeOptionsValidator
{
    /// <summary>Every error of <paramref name="options"/> on a host with so much memory.</summary>
    internal static IReadOnlyList<MeshError> Validate(ServeOptions options, long memoryBytes)
    {
        var errors = new List<MeshError>();
        Addresses(options, errors);
        if (options.Etcd.Endpoints.Trim().Length == 0)
            errors.Add(Wrong("etcd.endpoints", "none given; name them, or try 'mooncake-mesh dev'"));
        else
            errors.AddRange(EtcdSettings(options).Validate());
        if (!LineLevel.TryParse(options.LogLevel, out LogLevel _))
            errors.Add(Wrong("logLevel", $"'{options.LogLevel}' is none of trace, debug, info, warn, error"));
        if (options.Grace < TimeSpan.Zero)
            errors.Add(Wrong("grace", "a time before now"));
        if (!(options.HardPinRatio is >= 0 and <= 1))
            errors.Add(Wrong("hardPinRatio", $"{options.HardPinRatio} is not from 0 to 1"));
        if (!Enum.IsDefined(ServeOptions.TransportOf(options.Transport)))
            errors.Add(Wrong("transport", $"'{options.Transport}' is none of auto, tcp, shm, rdma"));
        if (!Enum.IsDefined(options.Tiers.ToOptions().Place))
            errors.Add(Wrong("tiers.place", $"'{options.Tiers.Place}' is none of dram, vram, any"));
        errors.AddRange(options.Rdma.ToOptions().Validate());
        if (options.ClientWrites.ToLowerInvariant() is not ("off" or "user" or "group"))
            errors.Add(Wrong("clientWrites", $"'{options.ClientWrites}' is none of off, user, group"));
        Ratio("eviction_high_watermark_ratio", options.EvictionHighWatermarkRatio, errors);
        Ratio("eviction_ratio", options.EvictionRatio, errors);
        // The node checks some of it itself; one mistake is said once.
        if (errors.Count == 0)
            errors.AddRange(options.ToNodeOptions().Validate());
        if (!errors.Any(error => error.Stage == "config:segments"))
            Memory(options, memoryBytes, errors);
        return [.. errors.DistinctBy(error => error.Message)];
    }

    /// <summary>The registry's options.</summary>
    internal static EtcdRegistryOptions EtcdSettings(ServeOptions options) => new()
    {
        Endpoints = options.Etcd.Endpoints,
        Cluster = options.Cluster,
        User = options.Etcd.User,
        PasswordFile = options.Etcd.PasswordFile,
        CaFile = options.Etcd.Ca,
        CertificateFile = options.Etcd.Cert,
        KeyFile = options.Etcd.Key,
    };

    /// <summary>Memory of this host, or of the control group that the process is in.</summary>
    internal static long HostMemory() => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    private static void Addresses(ServeOptions options, List<MeshError> errors)
    {
        if (Endpoint("listen", options.Listen, errors) is { } listen)
        {
            if (!listen.IsLoopback && options.Secret is null && !options.Insecure)
            {
                errors.Add(Wrong("listen", $"{listen} is no loopback address and there is no cluster secret; "
                    + "set secretFile, or insecure: true to allow it on a trusted network"));
            }
            else if (listen.IsWildcard && options.Advertise is null)
            {
                errors.Add(Wrong("advertise", $"listen is {listen}, every address; name the one that peers use"));
            }
        }

        if (options.Advertise is not null && Endpoint("advertise", options.Advertise, errors) is { IsWildcard: true })
            errors.Add(Wrong("advertise", $"{options.Advertise} is every address; name the one that peers use"));
        if (Endpoint("admin", options.Admin, errors) is { IsLoopback: false } admin)
            errors.Add(Wrong("admin", $"{admin} is no loopback address; the admin port has no authentication"));
        if (options.MasterHttp is not null && Endpoint("masterHttp", options.MasterHttp, errors) is { } master
            && !master.IsLoopback && !options.Insecure)
        {
            errors.Add(Wrong("masterHttp", $"{master} is no loopback address and this port asks for no secret; "
                + "set insecure: true to allow it on a trusted network"));
        }
    }

    private static void Memory(ServeOptions options, long memoryBytes, List<MeshError> errors)
    {
        foreach (string location in options.GiveBack)
        {
            if (!new SegmentOptions { Location = location }.IsOnDevice)
                errors.Add(Wrong("giveBack", $"'{location}' is no GPU; write cuda:0"));
        }

        decimal sum = options.Segments.Sum(segment =>
            segment.ToSegmentOptions().IsOnDevice ? 0 : (decimal)Math.Max(0, segment.Size.Bytes));
        if (sum > memoryBytes)
        {
            errors.Add(Wrong("segments", $"{Quantity.Text((long)Math.Min(sum, long.MaxValue))} asked for, "
                + $"this host has {Quantity.Text(memoryBytes)}"));
        }
    }

    private static void Ratio(string setting, double? value, List<MeshError> errors)
    {
        if (value is { } ratio && !(ratio is > 0 and <= 1))
            errors.Add(Wrong(setting, $"{ratio} is not above 0 and at most 1"));
    }

    private static PeerEndpoint? Endpoint(string setting, string text, List<MeshError> errors)
    {
        MeshResult<PeerEndpoint> endpoint = PeerEndpoint.Parse(setting, text);
        if (endpoint.Error is not { } error)
            return endpoint.Value;
        errors.Add(error);
        return null;
    }

    private static MeshError Wrong(string setting, string message) =>
        new(MeshErrorCode.InvalidArgument, "config", $"{setting}: {message}");
}
