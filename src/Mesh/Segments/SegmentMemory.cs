// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Segments;

/// <summary>
/// The memory of a segment: a block of the host's, whose bytes have addresses, or a block of a device's, whose bytes
/// only the device's driver moves. Thread-safe; whoever moves bytes sees to it that it is not disposed meanwhile.
/// </summary>
public sealed unsafe class SegmentMemory : IDisposable
{
    private readonly IDeviceMemory? _devices;
    private readonly Action<MeshError>? _failed;
    private MeshError? _failure;
    private int _disposed;

    internal SegmentMemory(MemoryBlock host)
    {
        Host = host;
        Length = host.Length;
    }

    internal SegmentMemory(IDeviceBlock block, IDeviceMemory devices)
    {
        Device = block;
        Length = block.Length;
        _devices = devices;
        _failed = Failed;
    }

    /// <summary>The block, where it is the host's.</summary>
    public MemoryBlock? Host { get; }

    /// <summary>The block, where it is a device's.</summary>
    public IDeviceBlock? Device { get; }

    /// <summary>Length in bytes: whole granules.</summary>
    public long Length { get; }

    /// <summary>Why the device counts as lost, and with it every byte here; null: it does not.</summary>
    public MeshError? Failure => Volatile.Read(ref _failure);

    /// <summary>Told once that the device is lost; null: nobody is.</summary>
    internal Action? OnLost { get; set; }

    /// <summary>Some of the bytes.</summary>
    internal SegmentBytes At(long offset, long length) => new(this, offset, length);

    /// <summary>Where bytes of a device lie; null: the memory is the host's.</summary>
    internal DeviceBuffer? OnDevice(long offset, long length) => Device is not { } block ? null
        : new DeviceBuffer(_devices!, block.Location,
            length == 0 ? [] : [new DeviceRange(block.Address + (nint)offset, length)]) { OnFailure = _failed };

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        Host?.Dispose();
        Device?.Dispose();
    }

    private void Failed(MeshError error)
    {
        // A copy may also fail for what is at its other end: only the device itself knows whether it is lost.
        if (_devices!.UsageOf(Device!.Location).Succeeded || Interlocked.Exchange(ref _failure, error) is not null)
            return;
        OnLost?.Invoke();
    }
}

/// <summary>Bytes of a segment: in the host's memory, or in a device's, where no address may be followed.</summary>
public readonly unsafe struct SegmentBytes
{
    private readonly SegmentMemory _memory;
    private readonly long _offset;
    private readonly byte* _host;

    internal SegmentBytes(SegmentMemory memory, long offset, long length)
    {
        _memory = memory;
        _offset = offset;
        _host = memory.Host is { } host ? host.Pointer + offset : null;
        Length = length;
    }

    /// <summary>Length in bytes.</summary>
    public long Length { get; }

    /// <summary>Whether a device has them.</summary>
    public bool IsOnDevice => _memory.Host is null;

    /// <summary>The first byte; false: a device has them.</summary>
    public bool TryHost(out byte* bytes)
    {
        bytes = _host;
        return _memory.Host is not null;
    }

    /// <summary>Where a device has them; null: they are in the host's memory.</summary>
    internal DeviceBuffer? OnDevice => _memory.OnDevice(_offset, Length);

    /// <summary>Some of them.</summary>
    /// <param name="from">Where they begin, in bytes.</param>
    /// <param name="length">How many; not past the end.</param>
    internal SegmentBytes Part(long from, long length) => new(_memory, _offset + from, length);
}
