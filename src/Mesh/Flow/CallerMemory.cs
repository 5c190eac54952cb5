// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Says which of the memory that a caller passes is a device's. The driver is asked, but for memory that was noted
/// before. Thread-safe.
/// </summary>
/// <param name="devices">The devices; null: all memory is the host's.</param>
internal sealed class CallerMemory(IDeviceMemory? devices)
{
    /// <summary>Most ranges that are noted; of others the driver is asked.</summary>
    public const int Most = 1 << 16;

    private readonly Lock _gate = new();
    private Noted[] _noted = [];

    /// <summary>Whether any memory may be a device's.</summary>
    public bool HasDevices => devices is not null;

    /// <summary>Asks where memory is, and notes it until <see cref="Forget"/>.</summary>
    public void Note(NativeRange range)
    {
        if (devices is null || range.Length <= 0)
            return;
        var noted = new Noted(range.Address, range.Length,
            devices.LocationOf(new DeviceRange(range.Address, range.Length)));
        lock (_gate)
        {
            int at = AfterStartOf(_noted, range.Address);
            if (_noted.Length < Most)
                Volatile.Write(ref _noted, [.. _noted[..at], noted, .. _noted[at..]]);
        }
    }

    /// <summary>The memory that starts here may become other memory.</summary>
    public void Forget(nint address)
    {
        lock (_gate)
        {
            int at = AfterStartOf(_noted, address) - 1;
            if (at >= 0 && _noted[at].Address == address)
                Volatile.Write(ref _noted, [.. _noted[..at], .. _noted[(at + 1)..]]);
        }
    }

    /// <summary>The range, which says so where it is a device's.</summary>
    public NativeRange Find(NativeRange range, DeviceOrder order) =>
        devices is null || range.Device is not null || range.Length <= 0 || LocationOf(range) is not { } location
            ? range
            : range with
            {
                Device = new DeviceBuffer(devices, location, [new DeviceRange(range.Address, range.Length)], order),
            };

    /// <summary>
    /// Pieces as one range of a device; null: they are all the host's, and no such range.
    /// </summary>
    /// <returns>InvalidArgument where they are not all in one place.</returns>
    public MeshResult<NativeRange?> Find(IReadOnlyList<NativeRange> pieces, DeviceOrder order, string stage)
    {
        if (devices is null)
            return (NativeRange?)null;
        string? where = null;
        bool first = true;
        long length = 0;
        var ranges = new List<DeviceRange>(pieces.Count);
        foreach (var piece in pieces)
        {
            if (piece.Length <= 0)
                continue;
            string? location = LocationOf(piece);
            if (!first && location != where)
            {
                return new MeshError(MeshErrorCode.InvalidArgument, stage,
                    $"the pieces of one value are in {where ?? "host memory"} and in {location ?? "host memory"}; "
                    + "they must all be in one of them");
            }

            (first, where) = (false, location);
            length += piece.Length;
            ranges.Add(new DeviceRange(piece.Address, piece.Length));
        }

        return where is null
            ? (NativeRange?)null
            : new NativeRange(ranges[0].Address, length)
            {
                Device = new DeviceBuffer(devices, where, [.. ranges], order),
            };
    }

    private string? LocationOf(NativeRange range)
    {
        var noted = Volatile.Read(ref _noted);
        int at = AfterStartOf(noted, range.Address) - 1;
        // Neither is past the end of memory: both were checked where they came from.
        return at >= 0 && range.Address - noted[at].Address <= noted[at].Length - range.Length
            ? noted[at].Location
            : devices!.LocationOf(new DeviceRange(range.Address, range.Length));
    }

    /// <summary>How many start at or before an address.</summary>
    private static int AfterStartOf(Noted[] noted, nint address)
    {
        int low = 0;
        int high = noted.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if ((ulong)noted[middle].Address <= (ulong)address)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }

    private readonly record struct Noted(nint Address, long Length, string? Location);
}
