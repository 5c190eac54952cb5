// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;

namespace Mooncake.Mesh.Verbs.Engine;

/// <summary>The cards of a transfer engine. Thread-safe.</summary>
internal sealed class EngineCards : IEngineCards
{
    private readonly RdmaEngine _engine;
    private readonly ILogger _log;

    private EngineCards(RdmaEngine engine, ILogger log)
    {
        _engine = engine;
        _log = log;
    }

    /// <summary>Opens the cards.</summary>
    /// <returns>
    /// The cards; DeviceNotFound, with the reason, where there is none; InvalidArgument for options that cannot be, or
    /// that name what is not there.
    /// </returns>
    public static TransferResult<IEngineCards> Open(RdmaOptions options, MeshRuntime runtime)
    {
        var engine = RdmaEngine.Open(options, runtime);
        if (engine.Succeeded)
            return new EngineCards(engine.Value, runtime.Log.CreateLogger("mesh.verbs"));
        return new TransferError(engine.Error!.Code == MeshErrorCode.InvalidArgument
            ? TransferErrorCode.InvalidArgument
            : TransferErrorCode.DeviceNotFound, $"no RDMA here: {engine.Error.Message}");
    }

    /// <inheritdoc/>
    public TransferResult<ICardMemory> Register(NativeRange range, bool isRemote)
    {
        var access = MemoryAccess.LocalWrite;
        if (isRemote)
            access |= MemoryAccess.RemoteRead | MemoryAccess.RemoteWrite;
        var memory = _engine.RegisterAsync(range, access, isShared: false).GetAwaiter().GetResult();
        return memory.Succeeded
            ? new CardMemory(_engine, memory.Value)
            : new TransferError(TransferErrorCode.Memory,
                $"{range.Length} bytes at 0x{(ulong)range.Address:x}: {memory.Error!.Message}");
    }

    /// <inheritdoc/>
    public IVerbsCalls Serve(FindForPeers find) => new CardCalls(_engine, find, _log);

    /// <inheritdoc/>
    public ICardRoute RouteTo(PeerLinks links, NodeRecord peer) => new CardRoute(_engine, links, peer, _log);

    /// <inheritdoc/>
    public IReadOnlyList<RailLoad> Loads() => _engine.Loads();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _engine.DisposeAsync();
}

/// <summary>Memory of an engine that the cards reach.</summary>
internal sealed class CardMemory(RdmaEngine engine, LocalMemory memory) : ICardMemory
{
    /// <summary>How they reach it.</summary>
    public LocalMemory Memory => memory;

    /// <inheritdoc/>
    public void Dispose() => engine.Release(memory);
}
