// SPDX-License-Identifier: Apache-2.0

// STUB, TO BE DELETED AT MERGE: stands in for MeshClient until it is there.
using System.Text;

namespace Mooncake.Mesh.Client;

#pragma warning disable CS1591 // a stub has no documentation

public sealed record MeshClientOptions
{
    public string Cluster { get; init; } = "default";
    public IReadOnlyList<string> Nodes { get; init; } = [];
    public string? Etcd { get; init; }
    public TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(1);
}

public sealed class MeshClient : IAsyncDisposable
{
    private readonly MeshNode _node;

    private MeshClient(MeshNode node) => _node = node;

    public static Task<MeshResult<MeshClient>> TryConnectAsync(MeshClientOptions options,
        CancellationToken cancel = default) =>
        Task.FromResult<MeshResult<MeshClient>>(
            new MeshError(MeshErrorCode.Unavailable, "connect", $"no node of mesh '{options.Cluster}' answers"));

    public static MeshClient For(MeshNode node) => new(node);

    public Task<MeshResult<PutOutcome>> TryPutAsync(MeshKey key, ReadOnlyMemory<byte> value,
        PutOptions? options = null, CancellationToken cancel = default)
    {
        bool added = _node.Store.Objects.TryAdd(key, value.ToArray());
        return Task.FromResult<MeshResult<PutOutcome>>(new PutOutcome(!added, new RecordVersion(1, 1, 1), 1));
    }

    public Task<MeshResult<byte[]>> TryGetAsync(MeshKey key, GetOptions? options = null,
        CancellationToken cancel = default) =>
        Task.FromResult<MeshResult<byte[]>>(_node.Store.Objects.TryGetValue(key, out byte[]? value)
            ? value
            : new MeshError(MeshErrorCode.NotFound, "get", $"no object has key '{key}'"));

    public Task<MeshResult<bool>> TryExistsAsync(MeshKey key, CancellationToken cancel = default) =>
        Task.FromResult<MeshResult<bool>>(_node.Store.Objects.ContainsKey(key));

    public Task<MeshResult<bool>> TryRemoveAsync(MeshKey key, CancellationToken cancel = default) =>
        Task.FromResult<MeshResult<bool>>(_node.Store.Objects.TryRemove(key, out _));

    public async Task<IReadOnlyList<MeshResult<PutOutcome>>> TryPutBatchAsync(IReadOnlyList<MeshKey> keys,
        IReadOnlyList<ReadOnlyMemory<byte>> values, PutOptions? options = null, CancellationToken cancel = default) =>
        await Task.WhenAll(keys.Select((key, i) => TryPutAsync(key, values[i], options, cancel)));

    public async Task<IReadOnlyList<MeshResult<byte[]>>> TryGetBatchAsync(IReadOnlyList<MeshKey> keys,
        GetOptions? options = null, CancellationToken cancel = default) =>
        await Task.WhenAll(keys.Select(key => TryGetAsync(key, options, cancel)));

    public Task<MeshResult<PrefixMatch>> TryMatchPrefixAsync(IReadOnlyList<MeshKey> keys,
        CancellationToken cancel = default)
    {
        bool[] present = [.. keys.Select(_node.Store.Objects.ContainsKey)];
        int length = Array.IndexOf(present, false);
        return Task.FromResult<MeshResult<PrefixMatch>>(
            new PrefixMatch(length < 0 ? present.Length : length, present));
    }

    public async IAsyncEnumerable<ListedObject> ListAsync(string prefix,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancel = default)
    {
        byte[] start = Encoding.UTF8.GetBytes(prefix);
        foreach (var pair in _node.Store.Objects)
        {
            if (pair.Key.Bytes.AsSpan().StartsWith(start))
                yield return new ListedObject(pair.Key, pair.Value.Length, _node.Options.NodeId);
        }

        await Task.CompletedTask;
    }

    public Task<MeshResult<byte[]>> TryStatusAsync(string? nodeEndpoint = null, CancellationToken cancel = default) =>
        Task.FromResult<MeshResult<byte[]>>(_node.Status().ToJson());

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
