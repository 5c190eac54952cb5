// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Node.Configuration;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>What the CUDA driver says of this host.</summary>
/// <param name="NotSupportedReason">Why it cannot be used; null: it can.</param>
/// <param name="Driver">The library and its version.</param>
/// <param name="Devices">Its devices.</param>
internal sealed record CudaFacts(string? NotSupportedReason, string Driver, IReadOnlyList<CudaDeviceFacts> Devices);

/// <summary>A device of the driver.</summary>
/// <param name="Info">What it is.</param>
/// <param name="NotUsableReason">Why it cannot be used; null: it can.</param>
/// <param name="Usage">How full it is.</param>
/// <param name="IsShared">Whether other processes of the host can map its memory; null: not tried.</param>
/// <param name="HasDmaBuf">Whether its memory can be exported as dma-buf.</param>
/// <param name="HasBatches">Whether the driver copies scattered memory at once.</param>
internal sealed record CudaDeviceFacts(DeviceInfo Info, string? NotUsableReason = null, DeviceUsage Usage = default,
    bool? IsShared = false, bool HasDmaBuf = false, bool HasBatches = false);

/// <summary>Whether the memory of GPUs can be used. Pure.</summary>
internal static class CudaChecks
{
    /// <summary>Everything about the driver.</summary>
    internal static IEnumerable<Finding> Of(HostFacts facts)
    {
        const string Subject = "cuda";
        if (facts.Cuda.NotSupportedReason is { } reason)
        {
            // A host without a GPU needs no driver.
            bool isNeeded = facts.Hardware.Gpus.Count > 0;
            yield return new Finding(isNeeded ? FindingLevel.Problem : FindingLevel.Note, Subject, reason,
                isNeeded ? "install the NVIDIA driver; a container is given it by the NVIDIA container toolkit" : null);
            yield break;
        }

        yield return new Finding(FindingLevel.Ok, Subject, facts.Cuda.Driver);
        foreach (CudaDeviceFacts device in facts.Cuda.Devices)
            yield return Device(device);
    }

    private static Finding Device(CudaDeviceFacts device)
    {
        string place = device.Info.PciAddress.Length == 0 ? "" : $" at {device.Info.PciAddress}";
        string name = device.Info.Name + place;
        if (device.NotUsableReason is { } reason)
        {
            return new Finding(FindingLevel.Problem, device.Info.Location, $"{name}: {reason}",
                "see to it with nvidia-smi: its memory may be full, or another process have it for itself");
        }

        return new Finding(FindingLevel.Ok, device.Info.Location,
            $"{name}; {Quantity.Text(device.Usage.Free)} of {Quantity.Text(device.Usage.Total)} free; "
            + $"IPC {Word(device.IsShared)}, dma-buf {Word(device.HasDmaBuf)}, batch copies {Word(device.HasBatches)}");
    }

    private static string Word(bool? has) => has is null ? "not tried" : has.Value ? "yes" : "no";
}
