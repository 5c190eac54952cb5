// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Replay;

/// <summary>What a replay needs of a mesh. Answers come in the order of the keys.</summary>
internal interface IBlockStore
{
    /// <summary>Which blocks of a chain are present.</summary>
    Task<MeshResult<PrefixMatch>> MatchAsync(IReadOnlyList<MeshKey> keys, CancellationToken cancel);

    /// <summary>Gets blocks.</summary>
    Task<IReadOnlyList<MeshResult<byte[]>>> GetAsync(IReadOnlyList<MeshKey> keys, CancellationToken cancel);

    /// <summary>Puts blocks.</summary>
    Task<IReadOnlyList<MeshResult<PutOutcome>>> PutAsync(
        IReadOnlyList<MeshKey> keys, IReadOnlyList<ReadOnlyMemory<byte>> values, CancellationToken cancel);
}

/// <summary>The mesh that a client is connected to.</summary>
internal sealed class ClientBlockStore(MeshClient client, Placement placement, TimeSpan deadline) : IBlockStore
{
    private readonly PutOptions _put = new() { Placement = placement, Deadline = deadline };
    private readonly GetOptions _get = new() { Deadline = deadline };

    public Task<MeshResult<PrefixMatch>> MatchAsync(IReadOnlyList<MeshKey> keys, CancellationToken cancel) =>
        client.TryMatchPrefixAsync(keys, cancel);

    public async Task<IReadOnlyList<MeshResult<byte[]>>> GetAsync(
        IReadOnlyList<MeshKey> keys, CancellationToken cancel) => await client.TryGetBatchAsync(keys, _get, cancel);

    public async Task<IReadOnlyList<MeshResult<PutOutcome>>> PutAsync(
        IReadOnlyList<MeshKey> keys, IReadOnlyList<ReadOnlyMemory<byte>> values, CancellationToken cancel) =>
        await client.TryPutBatchAsync(keys, values, _put, cancel);
}
