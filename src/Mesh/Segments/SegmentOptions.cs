// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Segments;

/// <summary>One segment as its user wrote it: memory this node contributes.</summary>
public sealed record SegmentOptions
{
    /// <summary>Largest segment, in bytes: 4 TiB (granule numbers are 32-bit).</summary>
    public const long MaxLength = 1L << 42;

    internal const string Stage = "config:segments";

    /// <summary>Length in bytes, rounded up to whole granules of 4,096 bytes.</summary>
    public long Length { get; init; }

    /// <summary>
    /// Instead of <see cref="Length"/>, of memory of a device: all of it that is free at the start, less so many bytes.
    /// </summary>
    public long? FreeLess { get; init; }

    /// <summary>
    /// "cpu:N", N being the NUMA node the memory should come from, or "cuda:N", N being the driver's number of a
    /// device.
    /// </summary>
    public string Location { get; init; } = "cpu:0";

    /// <summary>
    /// Whether to take huge pages where the host has them; without them the segment works too. A device has none.
    /// </summary>
    public bool HugePages { get; init; } = true;

    /// <summary>
    /// Whether to touch the memory in the background at start: a first touch costs six times a copy. A device's is
    /// there at once.
    /// </summary>
    public bool PreTouch { get; init; } = true;

    /// <summary>The NUMA node of <see cref="Location"/>, or -1 when it is not of the form "cpu:N".</summary>
    public int NumaNode => NumberIn("cpu:");

    /// <summary>Whether <see cref="Location"/> is of the form "cuda:N".</summary>
    public bool IsOnDevice => NumberIn("cuda:") >= 0;

    /// <summary>Every fault of these options; <paramref name="index"/> is their place in the list.</summary>
    public IEnumerable<MeshError> Validate(int index)
    {
        if (FreeLess is { } left)
        {
            if (left < 0 || !IsOnDevice)
            {
                yield return new MeshError(MeshErrorCode.InvalidArgument, Stage,
                    $"segments[{index}] is what is free, less {left} bytes; that is for locations 'cuda:N', and the "
                    + "least is 0 bytes");
            }
        }
        else if (Length is <= 0 or > MaxLength)
        {
            yield return new MeshError(MeshErrorCode.InvalidArgument, Stage,
                $"segments[{index}].length is {Length} bytes; it must be 1 to {MaxLength} bytes");
        }

        if (NumaNode < 0 && !IsOnDevice)
        {
            yield return new MeshError(MeshErrorCode.InvalidArgument, Stage,
                $"segments[{index}].location is '{Location}'; it must be 'cpu:N' or 'cuda:N' with N from 0 to 1023");
        }
    }

    private int NumberIn(string kind) => Location is not null && Location.StartsWith(kind, StringComparison.Ordinal)
        && int.TryParse(Location.AsSpan(kind.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
        && number < 1024
            ? number
            : -1;
}
