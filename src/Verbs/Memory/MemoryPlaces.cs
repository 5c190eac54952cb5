// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Globalization;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Interop;
using Mooncake.Mesh.Transfer.Rails;

namespace Mooncake.Mesh.Verbs.Memory;

/// <summary>
/// Where memory lies, as locations of <see cref="RailPreferences"/>, one for each <see cref="ChunkBytes"/> of it.
/// Asked once, when the memory has been registered: from then on its pages are there and stay where they are.
/// Immutable.
/// </summary>
internal sealed class MemoryPlaces
{
    /// <summary>What is asked about together, in bytes.</summary>
    public const long ChunkBytes = 64L << 20;

    /// <summary>Pages of a chunk that are asked about; it has a place where they all lie on one node.</summary>
    private const int Asked = 8;

    /// <summary>Number of the system call: asm/unistd_64.h, and asm-generic/unistd.h on arm64.</summary>
    private static readonly nint MovePages = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 239 : 279;

    private readonly nint _start;
    private readonly int[] _locations;

    private MemoryPlaces(nint start, int[] locations)
    {
        _start = start;
        _locations = locations;
    }

    /// <summary>Asks the kernel, unless that makes no difference.</summary>
    /// <param name="range">The memory; its pages are resident.</param>
    /// <param name="preferences">The locations there are.</param>
    public static MemoryPlaces Of(NativeRange range, RailPreferences preferences) =>
        Of(range, preferences, static page => NodeOf(page));

    /// <summary>The same, of whom is asked.</summary>
    /// <param name="range">The memory.</param>
    /// <param name="preferences">The locations there are.</param>
    /// <param name="nodeOf">The NUMA node of the page that an address is in; below 0: not known.</param>
    public static MemoryPlaces Of(NativeRange range, RailPreferences preferences, Func<nint, int> nodeOf)
    {
        if (preferences.IsUniform || range.Length == 0)
            return new MemoryPlaces(range.Address, []);
        var locations = new int[((range.Length - 1) / ChunkBytes) + 1];
        for (int i = 0; i < locations.Length; i++)
        {
            long from = i * ChunkBytes;
            int node = NodeOfAll(range.Address + (nint)from, Math.Min(ChunkBytes, range.Length - from), nodeOf);
            locations[i] = node < 0 ? RailPreferences.Anywhere
                : preferences.NumberOf(string.Create(CultureInfo.InvariantCulture, $"cpu:{node}"));
        }

        return new MemoryPlaces(range.Address, locations);
    }

    /// <summary>Those of memory that all lies in one place, as "cuda:1".</summary>
    public static MemoryPlaces All(NativeRange range, RailPreferences preferences, string location)
    {
        var locations = new int[preferences.IsUniform ? 0 : ((range.Length - 1) / ChunkBytes) + 1];
        Array.Fill(locations, preferences.NumberOf(location));
        return new MemoryPlaces(range.Address, locations);
    }

    /// <summary>The location of an address.</summary>
    public int At(nint address) =>
        _locations.Length == 0 ? RailPreferences.Anywhere : _locations[(address - _start) / (nint)ChunkBytes];

    private static int NodeOfAll(nint start, long length, Func<nint, int> nodeOf)
    {
        int node = nodeOf(start);
        for (int i = 1; i < Asked && node >= 0; i++)
        {
            if (nodeOf(start + (nint)((length - 1) * i / (Asked - 1))) != node)
                node = -1;
        }

        return node;
    }

    private static unsafe int NodeOf(nint address)
    {
        nint page = address & ~(nint)(Environment.SystemPageSize - 1);
        int status = -1;
        return LibC.move_pages(MovePages, 0, 1, &page, null, &status, 0) == 0 ? status : -1;
    }
}
