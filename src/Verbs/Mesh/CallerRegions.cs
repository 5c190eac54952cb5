// SPDX-License-Identifier: Apache-2.0

using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>
/// Memory that callers have registered once, so that no transfer has to: registering takes the kernel longer than the
/// cards take to fill it. Thread-safe.
/// </summary>
/// <param name="engine">The cards.</param>
/// <param name="log">Told of memory that the cards refuse.</param>
internal sealed class CallerRegions(RdmaEngine engine, ILogger log)
{
    /// <summary>Most ranges; others are registered for each transfer.</summary>
    public const int Most = 1024;

    /// <summary>A holder's cards read it for a put, and ours write it for a get.</summary>
    public const MemoryAccess Access = MemoryAccess.LocalWrite | MemoryAccess.RemoteRead;

    private readonly Lock _gate = new();
    private readonly Dictionary<nint, LocalMemory> _known = [];

    /// <summary>Registers memory; where the cards refuse, it is as it was before.</summary>
    public async Task AddAsync(NativeRange memory)
    {
        if (memory.Length <= 0 || !HasRoomFor(memory.Address))
            return;
        var made = await RegisterAsync(memory);
        if (!made.Succeeded)
        {
            log.LogInformation("memory_not_registered bytes={Bytes} reason={Reason}", memory.Length,
                made.Error!.Message);
            return;
        }

        lock (_gate)
        {
            if (_known.Count < Most && _known.TryAdd(memory.Address, made.Value))
                return;
        }

        engine.Release(made.Value);
    }

    /// <summary>Ends what was registered with this first byte.</summary>
    public void Remove(nint address)
    {
        LocalMemory? memory;
        lock (_gate)
            _known.Remove(address, out memory);
        if (memory is not null)
            engine.Release(memory);
    }

    private bool HasRoomFor(nint address)
    {
        lock (_gate)
            return _known.Count < Most && !_known.ContainsKey(address);
    }

    private async Task<MeshResult<LocalMemory>> RegisterAsync(NativeRange memory)
    {
        if (memory.Device is not { } device)
            return await engine.RegisterAsync(memory, Access);
        // What our cards wrote and nobody sees would be no use.
        return device.Memory.FlushWrites(device.Location) is { } cannot
            ? cannot
            : await engine.RegisterAsync(device, Access);
    }
}
