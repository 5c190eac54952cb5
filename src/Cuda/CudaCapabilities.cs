// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Cuda;

/// <summary>What a driver can do with a device.</summary>
/// <param name="IsShared">
/// Whether other processes of the host can map its memory; null: there was no memory to try it with.
/// </param>
/// <param name="HasDmaBuf">Whether network cards can be given its memory as dma-buf.</param>
/// <param name="HasBatches">Whether scattered memory is copied by the driver at once.</param>
public sealed record CudaCapabilities(bool? IsShared, bool HasDmaBuf, bool HasBatches);
