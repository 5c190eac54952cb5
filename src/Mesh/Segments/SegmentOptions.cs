// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Segments;

/// <summary>One segment as its user wrote it: memory this node contributes.</summary>
public sealed record SegmentOptions
{
    /// <summary>Largest segment, in bytes: 4 TiB (granule numbers are 32-bit).</summary>
    public const long MaxLength = 1L << 42;

    /// <summary>Length in bytes, rounded up to whole granules of 4,096 bytes.</summary>
    public long Length { get; init; }

    /// <summary>"cpu:N", N being the NUMA node the memory should come from.</summary>
    public string Location { get; init; } = "cpu:0";

    /// <summary>Whether to take huge pages where the host has them; without them the segment works all the same.</summary>
    public bool HugePages { get; init; } = true;

    /// <summary>Whether to touch the memory in the background at start: a first touch costs six times a copy.</summary>
    public bool PreTouch { get; init; } = true;

    /// <summary>The NUMA node of <see cref="Location"/>, or -1 when it is not of the form "cpu:N".</summary>
    public int NumaNode => Location is not null && Location.StartsWith("cpu:", StringComparison.Ordinal)
        && int.TryParse(Location.AsSpan(4), NumberStyles.None, CultureInfo.InvariantCulture, out int node)
        && node < 1024
            ? node
            : -1;

    /// <summary>Every fault of these options; <paramref name="index"/> is their place in the list of segments.</summary>
    public IEnumerable<MeshError> Validate(int index)
    {
        const string Stage = "config:segments";
        if (Length is <= 0 or > MaxLength)
        {
            yield return new MeshError(MeshErrorCode.InvalidArgument, Stage,
                $"segments[{index}].length is {Length} bytes; it must be 1 to {MaxLength} bytes");
        }

        if (NumaNode < 0)
        {
            yield return new MeshError(MeshErrorCode.InvalidArgument, Stage,
                $"segments[{index}].location is '{Location}'; it must be 'cpu:N' with N from 0 to 1023");
        }
    }
}
