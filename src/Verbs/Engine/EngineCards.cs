// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Engine.Batches;
using Mooncake.Mesh.Transfer.Engine.Cards;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;

namespace Mooncake.Mesh.Verbs.Engine;

/// <summary>The cards of a transfer engine. Thread-safe.</summary>
internal sealed class EngineCards : IEngineCards
{
    private readonly RdmaEngine _engine;
    private readonly DeviceWrites _deviceWrites;
    private readonly ILogger _log;

    private EngineCards(RdmaEngine engine, ILogger log)
    {
        _engine = engine;
        _deviceWrites = new DeviceWrites(engine, log);
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
        var memory = range.Device is { } device ? RegisterDevice(device, access)
            : TaskWait.ResultOf(_engine.RegisterAsync(range, access, isShared: false));
        return memory.Succeeded
            ? new CardMemory(_engine, memory.Value)
            : new TransferError(TransferErrorCode.Memory,
                $"{range.Length} bytes at 0x{(ulong)range.Address:x}: {memory.Error!.Message}");
    }

    /// <inheritdoc/>
    public IVerbsCalls Serve(FindForPeers find) => new CardCalls(_engine, find, _log);

    /// <inheritdoc/>
    public ICardRoute RouteTo(PeerLinks links, NodeRecord peer) => new CardRoute(_engine, _deviceWrites, links, peer,
        _log);

    /// <inheritdoc/>
    public IReadOnlyList<RailLoad> Loads() => _engine.Loads();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        _deviceWrites.Dispose();
    }

    /// <summary>
    /// Offers memory of a device. One that stands still is given as long as at any move; what it does later is undone.
    /// </summary>
    private MeshResult<LocalMemory> RegisterDevice(DeviceBuffer device, MemoryAccess access)
    {
        var registering = Task.Run(async () =>
            // What cards wrote and nobody sees would be no use.
            device.Memory.FlushWrites(device.Location) is { } cannotFlush
                ? cannotFlush
                : await _engine.RegisterAsync(device, access));
        var wait = registering.EndsWithinAsync(EngineWork.DevicePatience, _engine.Time, CancellationToken.None);
        MeshResult<LocalMemory> memory;
        if (TaskWait.ResultOf(wait))
        {
            memory = TaskWait.ResultOf(registering);
        }
        else
        {
            _ = UndoAsync(registering, device.Location);
            memory = new MeshError(MeshErrorCode.Device, "verbs:register", $"{device.Location} stands still");
        }

        if (!memory.Succeeded)
        {
            _log.LogInformation("engine_device_without_cards location={Location} bytes={Bytes} reason={Reason}",
                device.Location, device.Length, memory.Error!.Message);
        }

        return memory;
    }

    private async Task UndoAsync(Task<MeshResult<LocalMemory>> registering, string location)
    {
        var late = await registering;
        if (late.Succeeded)
            _engine.Release(late.Value);
        _log.LogInformation("engine_device_came_late location={Location}", location);
    }
}

/// <summary>Memory of an engine that the cards reach.</summary>
internal sealed class CardMemory(RdmaEngine engine, LocalMemory memory) : ICardMemory
{
    /// <summary>How they reach it.</summary>
    public LocalMemory Memory => memory;

    /// <inheritdoc/>
    public void Dispose() => engine.Release(memory);
}
