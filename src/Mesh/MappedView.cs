// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh;

/// <summary>What a view asks for.</summary>
public sealed record ViewOptions
{
    /// <summary>The default deadline, and no checksum.</summary>
    public static ViewOptions Default { get; } = new();

    /// <summary>Longest time; null: 1 s.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not more than 0, or more than a day.</exception>
    public TimeSpan? Deadline { get; init => field = CallLimit.Checked(value); }

    /// <summary>
    /// Whether the bytes are compared with the object's checksum before the view is given out, which reads all of them.
    /// </summary>
    public bool Verify { get; init; }
}

/// <summary>
/// An object in the memory of its holder, seen from another process of the same host without a copy. It stays in place,
/// even when it is removed or evicted, until the view is disposed or this process ends: one that is forgotten keeps its
/// memory from being used again. Only for reading: to write there ends the process. Disposing twice is harmless; the
/// bytes are not to be touched after it.
/// </summary>
public sealed class MappedView : IDisposable
{
    private readonly nint _address;
    private readonly Memory _memory;
    private Action? _close;

    internal MappedView(nint address, long size, Action close)
    {
        _address = address;
        _memory = new Memory(this);
        _close = close;
        Size = size;
    }

    /// <summary>Size in bytes.</summary>
    public long Size { get; }

    /// <summary>Where the bytes are.</summary>
    /// <exception cref="ObjectDisposedException">The view has been disposed.</exception>
    public NativeRange Range
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _close) is null, this);
            return new NativeRange(_address, Size);
        }
    }

    /// <summary>The bytes as memory.</summary>
    /// <exception cref="ObjectDisposedException">The view has been disposed.</exception>
    /// <exception cref="InvalidOperationException">The object has over 2 GiB: use <see cref="Range"/>.</exception>
    public ReadOnlyMemory<byte> Bytes
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _close) is null, this);
            return Size <= int.MaxValue
                ? _memory.Memory
                : throw new InvalidOperationException($"the object has {Size} bytes; memory spans {int.MaxValue}");
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Interlocked.Exchange(ref _close, null)?.Invoke();

    private sealed unsafe class Memory(MappedView view) : MemoryManager<byte>
    {
        public override Span<byte> GetSpan() => new((byte*)view.Range.Address, (int)view.Size);

        public override MemoryHandle Pin(int elementIndex = 0) =>
            new((byte*)view.Range.Address + elementIndex);

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
