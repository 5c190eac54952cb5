// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cuda.Devices;

/// <summary>
/// Whether a device has been lost. A lost device is not called any more: a copy that never ended may still write where
/// it was told to, and calls that wait for the device would wait for ever. Thread-safe.
/// </summary>
internal sealed class DeviceLoss
{
    private volatile MeshError? _error;

    /// <summary>Why it is lost; null: it is not.</summary>
    internal MeshError? Error => _error;

    /// <summary>Says that it is lost; the first reason stays.</summary>
    /// <returns>The reason that stays.</returns>
    internal MeshError Mark(MeshError error) => Interlocked.CompareExchange(ref _error, error, null) ?? error;
}
