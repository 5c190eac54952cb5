// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Transfer.Engine.Names;

/// <summary>Where an engine is.</summary>
/// <param name="Address">Its host:port.</param>
/// <param name="Incarnation">Which process it is; 0: whichever answers there.</param>
internal readonly record struct EnginePlace(string Address, ulong Incarnation);

/// <summary>How engines find each other. Thread-safe.</summary>
internal interface IEngineNames : IAsyncDisposable
{
    /// <summary>Announces this engine, until it is withdrawn.</summary>
    /// <returns>Null; Metadata.</returns>
    TransferError? Announce();

    /// <summary>Withdraws it; nothing when it is not announced.</summary>
    Task WithdrawAsync();

    /// <summary>Where the engine of a name is.</summary>
    /// <returns>The place; InvalidArgument; Metadata; MalformedJson.</returns>
    TransferResult<EnginePlace> Find(string name);
}

/// <summary>A name is an address.</summary>
internal sealed class AddressNames : IEngineNames
{
    /// <inheritdoc/>
    public TransferError? Announce() => null;

    /// <inheritdoc/>
    public Task WithdrawAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public TransferResult<EnginePlace> Find(string name)
    {
        var endpoint = PeerEndpoint.Parse("segment", name);
        if (endpoint.Succeeded && endpoint.Value is { Port: > 0, IsWildcard: false })
            return new EnginePlace(endpoint.Value.ToString(), 0);
        return new TransferError(TransferErrorCode.InvalidArgument,
            endpoint.Error?.Message ?? $"segment '{name}': expected host:port of an engine");
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
