// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Rails;

/// <summary>A port of a device, over which bytes go.</summary>
/// <param name="Device">"mlx5_0".</param>
/// <param name="Port">Its number, from 1.</param>
internal readonly record struct RailPort(string Device, int Port)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Device}:{Port}";
}

/// <summary>The rails to reach a memory location by, as numbers of a <see cref="RailBoard"/>.</summary>
/// <param name="Preferred">Those that are nearest.</param>
/// <param name="Others">Those that serve while none of the preferred can.</param>
internal sealed record RailChoice(int[] Preferred, int[] Others);

/// <summary>A slice that was placed, to be given back exactly once.</summary>
/// <param name="Rail">Number of the rail it goes over.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Before">Bytes that had arrived over that rail when it was placed.</param>
/// <param name="Epoch">Of the rail, which begins anew whenever it fails.</param>
/// <param name="Since">Timestamp of the last of these, or of the placing where nothing was on its way.</param>
/// <param name="IsProbe">Whether it finds out if a rail that has paused is well again.</param>
internal readonly record struct RailSlice(int Rail, long Bytes, long Before, long Epoch, long Since, bool IsProbe);

/// <summary>What a rail has done and how it is.</summary>
/// <param name="Port">Which one.</param>
/// <param name="Bytes">Bytes that arrived.</param>
/// <param name="Slices">Slices that arrived.</param>
/// <param name="Errors">Slices that failed.</param>
/// <param name="Pauses">Times it began to pause.</param>
/// <param name="InFlight">Bytes on their way.</param>
/// <param name="Bandwidth">Bytes a second, a moving average; 0: not measured yet.</param>
/// <param name="IsPausing">Whether it carries nothing but a probe.</param>
internal readonly record struct RailCount(RailPort Port, long Bytes, long Slices, long Errors, long Pauses,
    long InFlight, double Bandwidth, bool IsPausing);
