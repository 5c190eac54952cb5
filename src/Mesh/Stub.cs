// SPDX-License-Identifier: Apache-2.0

// STUB, TO BE DELETED AT MERGE: stands in for MeshNode and its companions until they are there.
using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh;

#pragma warning disable CS1591 // a stub has no documentation

public sealed record MeshNodeOptions
{
    public string Cluster { get; init; } = "default";
    public string NodeId { get; init; } = "";
    public string Listen { get; init; } = "127.0.0.1:0";
    public string? Advertise { get; init; }
    public string? SocketPath { get; init; }
    public IReadOnlyList<SegmentOptions> Segments { get; init; } = [];
    public int Weight { get; init; } = 100;
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();
    public TimeSpan LeaseTtl { get; init; } = TimeSpan.FromSeconds(10);
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(5);
    public string? RuntimeDirectory { get; init; }
    public bool WaitForNodeId { get; init; }
    public bool Insecure { get; init; }
    public IReadOnlyList<MeshError> Validate() => [];
}

public sealed class MeshMetrics
{
    public const string MeterName = "Mooncake.Mesh";
}

public sealed record NodeStatus
{
    public string NodeId { get; init; } = "";
    public string Endpoint { get; init; } = "";
    public bool Degraded { get; init; }
    public StubCounters Counters { get; init; } = new();
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, StubJson.Default.NodeStatus);
}

public sealed record StubCounters
{
    public long Evictions { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(NodeStatus))]
internal sealed partial class StubJson : JsonSerializerContext;

public sealed class StubStore
{
    public ConcurrentDictionary<MeshKey, byte[]> Objects { get; } = new();
}

public sealed class MeshNode : IAsyncDisposable
{
    private static readonly ConditionalWeakTable<object, StubStore> Stores = [];
    private static int _ports = 40_000;

    private MeshNode(MeshNodeOptions options, StubStore store)
    {
        Options = options;
        Store = store;
        Endpoint = $"127.0.0.1:{Interlocked.Increment(ref _ports)}";
    }

    public MeshNodeOptions Options { get; }
    public StubStore Store { get; }
    public string Endpoint { get; }
    public MeshMetrics Metrics { get; } = new();
    public bool Ready => NotReadyReason is null;
    public string? NotReadyReason { get; private set; }

    public static Task<MeshResult<MeshNode>> StartAsync(MeshNodeOptions options, IMeshRegistry registry,
        MeshRuntime runtime, CancellationToken cancel) =>
        Task.FromResult<MeshResult<MeshNode>>(
            new MeshNode(options, Stores.GetValue(runtime.Network, _ => new StubStore())));

    public NodeStatus Status() => new() { NodeId = Options.NodeId, Endpoint = Endpoint };

    public Task LeaveAsync(TimeSpan grace, CancellationToken cancel)
    {
        NotReadyReason = "leaving";
        return Task.CompletedTask;
    }

    public void Abort() => NotReadyReason = "aborted";

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
