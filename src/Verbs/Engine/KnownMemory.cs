// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Verbs.Memory;

namespace Mooncake.Mesh.Verbs.Engine;

/// <summary>
/// A peer's memory whose keys were asked for, by address. What the peer has unregistered since is still in it: its card
/// refuses the keys then, and all are asked for anew. Thread-safe.
/// </summary>
internal sealed class KnownMemory
{
    /// <summary>Most ranges; beyond, all are asked for anew.</summary>
    public const int Most = 16_384;

    private readonly Lock _gate = new();
    private (ulong Address, ulong Length, RemoteMemory Memory)[] _sorted = [];

    /// <summary>The memory that a range lies in, or null, and where in it the range begins.</summary>
    public RemoteMemory? Find(ulong address, long length, out long offset)
    {
        var sorted = Volatile.Read(ref _sorted);
        int after = IndexAfter(sorted, address);
        offset = after == 0 ? 0 : (long)(address - sorted[after - 1].Address);
        if (after == 0)
            return null;
        ref readonly var entry = ref sorted[after - 1];
        return (ulong)offset <= entry.Length && (ulong)length <= entry.Length - (ulong)offset ? entry.Memory : null;
    }

    /// <summary>Adds memory, in the place of what overlaps it: that has gone.</summary>
    public void Add(in RemoteRegion region, RemoteMemory memory)
    {
        ulong address = region.Address;
        ulong length = (ulong)region.Length;
        lock (_gate)
        {
            var sorted = _sorted.Length >= Most ? [] : _sorted;
            var kept = Array.FindAll(sorted, e => e.Address >= address + length || address >= e.Address + e.Length);
            int at = IndexAfter(kept, address);
            var next = new (ulong, ulong, RemoteMemory)[kept.Length + 1];
            Array.Copy(kept, next, at);
            next[at] = (address, length, memory);
            Array.Copy(kept, at, next, at + 1, kept.Length - at);
            Volatile.Write(ref _sorted, next);
        }
    }

    /// <summary>Forgets all of it.</summary>
    public void Clear()
    {
        lock (_gate)
            Volatile.Write(ref _sorted, []);
    }

    /// <summary>Number of ranges that begin at an address or before it.</summary>
    private static int IndexAfter((ulong Address, ulong Length, RemoteMemory Memory)[] sorted, ulong address)
    {
        int low = 0;
        int high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (sorted[middle].Address <= address)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }
}
