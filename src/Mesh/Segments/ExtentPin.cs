// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The promise that an extent stays where it is, with its bytes, until disposed: a removed or evicted object becomes
/// a zombie meanwhile. Disposing twice is harmless.
/// </summary>
public sealed unsafe class ExtentPin : IDisposable
{
    private readonly byte* _pointer;
    private ObjectStore? _store;

    internal ExtentPin(ObjectStore store, HeldObject held, byte* pointer)
    {
        _store = store;
        _pointer = pointer;
        Held = held;
    }

    /// <summary>The object whose bytes these are.</summary>
    public HeldObject Held { get; }

    /// <summary>The first byte; only for reading.</summary>
    /// <exception cref="ObjectDisposedException">The pin has ended.</exception>
    public byte* Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _store) is null, this);
            return _pointer;
        }
    }

    /// <summary>Size of the object in bytes.</summary>
    public long Length => Held.Size;

    /// <inheritdoc/>
    public void Dispose() => Interlocked.Exchange(ref _store, null)?.Unpin(Held);
}
