// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The promise that an extent stays where it is, with its bytes, until disposed: a removed or evicted object becomes
/// a zombie meanwhile. Disposing twice is harmless.
/// </summary>
public sealed unsafe class ExtentPin : IDisposable
{
    private readonly SegmentBytes _bytes;
    private readonly HeldCell* _held;
    private ObjectStore? _store;

    internal ExtentPin(ObjectStore store, HeldCell* held, in Extent extent, SegmentBytes bytes)
    {
        _store = store;
        _bytes = bytes;
        _held = held;
        Length = extent.Length;
        Checksum = held->Checksum;
    }

    /// <summary>Checksum of the object.</summary>
    public ulong Checksum { get; }

    /// <summary>The bytes of the object in this extent; only for reading.</summary>
    /// <exception cref="ObjectDisposedException">The pin has ended.</exception>
    public SegmentBytes Bytes
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _store) is null, this);
            return _bytes;
        }
    }

    /// <summary>Bytes of the object in this extent.</summary>
    public long Length { get; }

    /// <summary>What the store knows of the object; only under its lock, while the pin lasts.</summary>
    internal HeldCell* Held => _held;

    /// <summary>The sums of the object's slices; of one with a single slice, its checksum.</summary>
    /// <exception cref="ObjectDisposedException">The pin has ended.</exception>
    internal ulong[] Sums()
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _store) is null, this);
        return _held->Sums is null ? [Checksum] : new ReadOnlySpan<ulong>(_held->Sums, _held->SumCount).ToArray();
    }

    /// <summary>All extents of the object, when there are several; none otherwise.</summary>
    /// <exception cref="ObjectDisposedException">The pin has ended.</exception>
    internal ReadOnlySpan<Extent> Extents()
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _store) is null, this);
        return _held->Extents is null ? [] : new(_held->Extents, _held->ExtentCount);
    }

    /// <inheritdoc/>
    public void Dispose() => Interlocked.Exchange(ref _store, null)?.Unpin(_held);
}
