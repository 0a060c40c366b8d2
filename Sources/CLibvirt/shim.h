#pragma once
#include <libvirt/libvirt.h>n#include <libvirt/virterror.h>
