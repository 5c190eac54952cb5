// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer.Engine.Cards;

namespace Mooncake.Mesh.Transfer.Engine.Memory;

/// <summary>
/// Registered memory, and how many transfers use it now. Once closed it is used by no more of them, and it may be
/// unmapped when it is idle too. Thread-safe.
/// </summary>
/// <param name="address">First byte.</param>
/// <param name="length">Length in bytes.</param>
/// <param name="isRemote">Whether peers may read and write it.</param>
/// <param name="block">The engine's own memory that it is; null: the user's.</param>
internal sealed class RegisteredRegion(ulong address, ulong length, bool isRemote, MemoryBlock? block)
{
    private int _uses;
    private volatile bool _closed;

    /// <summary>First byte.</summary>
    public ulong Address => address;

    /// <summary>Length in bytes.</summary>
    public ulong Length => length;

    /// <summary>Whether peers may read and write it.</summary>
    public bool IsRemote => isRemote;

    /// <summary>The engine's own memory that it is, or null.</summary>
    public MemoryBlock? Block => block;

    /// <summary>Its place on the <see cref="EngineBoard"/>.</summary>
    public int Index { get; set; }

    /// <summary>Where it was said to be.</summary>
    public string Location { get; init; } = "*";

    /// <summary>The device that it lies on; null: it is host memory. Else nothing may follow its addresses.</summary>
    public RegionDevice? Device { get; init; }

    /// <summary>What lets the cards reach it; null: they do not.</summary>
    public ICardMemory? Cards { get; set; }

    /// <summary>Whether no more transfers may use it.</summary>
    public bool IsClosed => _closed;

    /// <summary>Whether no transfer uses it.</summary>
    public bool IsIdle => Volatile.Read(ref _uses) == 0;

    /// <summary>Whether all of a range lies in it.</summary>
    public bool Contains(ulong first, ulong bytes) =>
        first >= address && first - address <= length && bytes <= length - (first - address);

    /// <summary>Whether the range and this have a byte in common.</summary>
    public bool Overlaps(ulong first, ulong bytes) => first < address + length && address < first + bytes;

    /// <summary>Begins a use, which <see cref="Leave"/> ends; false: it is closed.</summary>
    public bool TryEnter()
    {
        // Counted before it looks: whoever closes it sees the count, or this sees the end.
        Interlocked.Increment(ref _uses);
        if (!_closed)
            return true;
        Interlocked.Decrement(ref _uses);
        return false;
    }

    /// <summary>Ends a use.</summary>
    public void Leave() => Interlocked.Decrement(ref _uses);

    /// <summary>Lets no more transfers in.</summary>
    public void Close()
    {
        _closed = true;
        Interlocked.MemoryBarrier();
    }
}
