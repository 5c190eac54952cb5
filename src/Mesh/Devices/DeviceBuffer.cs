// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Devices;

/// <summary>
/// Memory of one device that bytes are moved from or to: one range, or several that count as one. Immutable but for the
/// failure, which its parts share.
/// </summary>
internal sealed class DeviceBuffer
{
    private readonly DeviceRange[] _ranges;
    private readonly DeviceBuffer? _whole;
    private MeshError? _failure;

    public DeviceBuffer(IDeviceMemory memory, string location, DeviceRange[] ranges, DeviceOrder order = default)
        : this(memory, location, ranges, order, null)
    {
    }

    private DeviceBuffer(IDeviceMemory memory, string location, DeviceRange[] ranges, DeviceOrder order,
        DeviceBuffer? whole)
    {
        Memory = memory;
        Location = location;
        Order = order;
        _ranges = ranges;
        _whole = whole;
        foreach (var range in ranges)
            Length += range.Length;
    }

    /// <summary>Who reads and writes it.</summary>
    public IDeviceMemory Memory { get; }

    /// <summary>"cuda:N".</summary>
    public string Location { get; }

    /// <summary>What its moves come after.</summary>
    public DeviceOrder Order { get; }

    /// <summary>The ranges, in order; none is empty.</summary>
    public ReadOnlySpan<DeviceRange> Ranges => _ranges;

    /// <summary>Length in bytes.</summary>
    public long Length { get; }

    /// <summary>Told of each failure; null: nobody is.</summary>
    public Action<MeshError>? OnFailure { get; init; }

    /// <summary>Why a move of it, or of a part of it, failed last; null: none has.</summary>
    public MeshError? Failure => Volatile.Read(ref (_whole ?? this)._failure);

    /// <summary>A move has failed.</summary>
    public void Failed(MeshError error)
    {
        Volatile.Write(ref (_whole ?? this)._failure, error);
        (_whole ?? this).OnFailure?.Invoke(error);
    }

    /// <summary>A part of it.</summary>
    /// <param name="from">Where it begins, in bytes.</param>
    /// <param name="length">Its length in bytes; not past the end.</param>
    public DeviceBuffer Part(long from, long length)
    {
        if (from == 0 && length == Length)
            return this;
        ArgumentOutOfRangeException.ThrowIfNegative(from);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length - from);
        var parts = new List<DeviceRange>(_ranges.Length);
        foreach (var range in _ranges)
        {
            long skip = Math.Min(from, range.Length);
            long taken = Math.Min(length, range.Length - skip);
            if (taken > 0)
                parts.Add(new DeviceRange(range.Address + (nint)skip, taken));
            from -= skip;
            length -= taken;
        }

        return new DeviceBuffer(Memory, Location, [.. parts], Order, _whole ?? this);
    }
}
